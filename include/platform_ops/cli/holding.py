"""`ops hold`, `resume`, `release-digest`: what stops a release, and lets it go on."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_ops.catalog.names import unknown
from platform_ops.core.digest_holds import DigestHold
from platform_ops.core.errors import GateClosed, NotFound
from platform_ops.core.records import Entry
from platform_ops.core.release import Release
from platform_ops.core.state import Phase, Rollout
from platform_ops.wiring import Desk

from .asking import Environment, Service, at_desk, person
from .output import out

Reason = Annotated[str, typer.Option("--why", help="Reason, for the journal and for whoever decides.")]


def hold(service: Service, environment: Environment, why: Reason) -> None:
    """Stop a rollout where it is: weights stay, nobody takes over. Without a decision it goes back."""

    async def act(desk: Desk) -> None:
        rollout = await _running(desk, service, environment)
        if rollout.phase in (Phase.ROLLING_BACK, Phase.NEEDS_ATTENTION):
            raise GateClosed(f"{rollout.release.name} is in {rollout.phase}: there is nothing to hold")
        if rollout.hold is not None:
            raise GateClosed(
                f"{rollout.release.name} is held already, by {rollout.hold.by}: {rollout.hold.why}"
            )
        await desk.controller.hold(rollout.id, by=person(), why=why)
        out.print(_held(rollout), markup=False)

    at_desk(act)


def resume(service: Service, environment: Environment, why: Reason) -> None:
    """Lift a hold: the step is watched anew, then the rollout goes on."""

    async def act(desk: Desk) -> None:
        rollout = await _running(desk, service, environment)
        if rollout.hold is None:
            raise GateClosed(f"{rollout.release.name} of {service} in {environment} is not held")
        await desk.controller.resume(rollout.id, by=person(), why=why)
        out.print(f"{rollout.release.name} goes on in {environment}: ops watch {service} {environment}")

    at_desk(act)


def release_digest(
    service: Service,
    release: Annotated[str, typer.Argument(help="Release or digest that is on hold after a rollback.")],
    why: Reason,
) -> None:
    """Let a release be promoted again that went back. Signs in to Airflow: the ledger keeps who it was."""

    async def act(desk: Desk) -> None:
        desk.catalog.service(service)
        found = await desk.ledger.releases.find(service, release)
        if found is None:
            built = [one.name for one in await desk.ledger.releases.of(service, limit=10)]
            raise NotFound(unknown("release", release, built))
        ended = await desk.ledger.digest_holds.release(
            *_release_of(found, await _named_person(desk), why, desk)
        )
        if not ended:
            raise GateClosed(f"{found.name} of {service} is not on hold")
        for one in ended:
            out.print(f"{found.name} may be promoted again in {one.environment} (held for: {one.why})")

    at_desk(act)


def _release_of(found: Release, who: str, why: str, desk: Desk) -> tuple[DigestHold, Entry]:
    now = desk.clock.now()
    line = DigestHold(found.service, "", found.digest, False, who, why, now)
    entry = Entry(
        service=found.service,
        environment="",
        at=now,
        actor=who,
        kind="note",
        what="ReleaseDigest",
        why=f"{found.name}: {why}",
        detail={"digest": found.digest},
    )
    return line, entry


async def _named_person(desk: Desk) -> str:
    """Who signed in to Airflow. A service's identity, or somebody the catalog does not know, releases
    nothing."""
    user = await desk.airflow.signed_in()
    if user not in desk.catalog.people:
        raise GateClosed(
            f"{user} is nobody of the catalog's people: sign in as yourself "
            "(PLATFORM_OPS_AIRFLOW_USER, PLATFORM_OPS_AIRFLOW_PASSWORD)"
        )
    return user


async def _running(desk: Desk, service: str, environment: str) -> Rollout:
    desk.catalog.environment(service, environment)
    rollout = await desk.ledger.rollouts.active(service, environment)
    if rollout is None:
        raise NotFound(f"no rollout of {service} is going on in {environment}; see: ops status {service}")
    return rollout


def _held(rollout: Rollout) -> str:
    where = f"{rollout.target.service} {rollout.target.environment}"
    if rollout.phase.reached(Phase.PROMOTED):
        unless = "it stays held until somebody decides"
    else:
        minutes = rollout.plan.hold_limit.total_seconds() / 60
        unless = f"without a decision it rolls back in {minutes:g} min"
    return (
        f"{rollout.release.name} is held in {rollout.phase}; {unless}\n"
        f"go on: ops resume {where} --why '...'; go back: ops rollback {where}"
    )
