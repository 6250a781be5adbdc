"""`ops promote`, `abort`, `rollback`: what changes something."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.catalog.names import unknown
from platform_ops.controller.rollouts import RolloutView
from platform_ops.core.digest_holds import require_free
from platform_ops.core.errors import GateClosed, Held, NotFound
from platform_ops.core.state import Phase
from platform_ops.wiring import Desk

from .asking import AsJson, Environment, Service, Why, at_desk, person
from .output import ExitCode, out, print_json

_UNFINISHED = ("queued", "running")


def promote(
    service: Service,
    environment: Environment,
    release: Annotated[
        str,
        typer.Option(
            help="Release or digest; by default the newest one that the environment before verified."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Ask for a promotion: starts the run of its DAG and prints where to follow it."""

    async def act(desk: Desk) -> None:
        desk.catalog.environment(service, environment)
        desk.catalog.require_requester(service, environment, desk.settings.need("airflow_user"))
        await _require_release(desk, service, environment, release)
        await _require_free(desk, service, environment, release)
        await _require_idle(desk, service, environment)
        run = await desk.airflow.trigger(_dag(service, environment), {"release": release or None})
        if as_json:
            print_json({"dag_id": _dag(service, environment), "run_id": run.run_id, "url": run.url})
        else:
            out.print(f"asked for {release or 'the newest release'} of {service} in {environment}: {run.url}")
            out.print(f"follow it with: ops watch {service} {environment}")

    at_desk(act)


def abort(service: Service, environment: Environment, why: Why = "stopped by a person") -> None:
    """Stop a promotion that is not finished: traffic goes back, the run ends red."""

    async def act(desk: Desk) -> None:
        desk.catalog.environment(service, environment)
        running = await desk.ledger.rollouts.active(service, environment)
        if running is not None and not running.phase.reached(Phase.PROMOTED):
            await desk.controller.abort(running.id, by=person(), why=why)
            await _bring_back(desk, running.id)
            return
        runs = await desk.airflow.runs(_dag(service, environment), states=_UNFINISHED)
        if not runs:
            raise NotFound(f"no promotion of {service} to {environment} is running: nothing to abort")
        for run in runs:
            await desk.airflow.stop(run, _dag(service, environment))
            out.print(f"stopped {run.run_id}; it had moved no traffic")

    at_desk(act)


def rollback(service: Service, environment: Environment, why: Why = "asked for by a person") -> None:
    """Go back to the version before, and see it proven. Works while Airflow is down."""

    async def act(desk: Desk) -> None:
        desk.catalog.environment(service, environment)
        found = await desk.ledger.rollouts.active(service, environment)
        if found is None:
            raise GateClosed(await _nothing_warm(desk, service, environment))
        await desk.controller.go_back(found.id, by=person(), why=why)
        await _bring_back(desk, found.id)

    at_desk(act)


async def _bring_back(desk: Desk, rollout_id: str) -> None:
    """Drive the way back from here, or watch whoever does."""
    holder = f"ops@{socket.gethostname()}:{os.getpid()}"
    view = await desk.controller.drive(rollout_id, goal=Phase.ROLLED_BACK, holder=holder, progress=_say)
    if view.phase is not Phase.ROLLED_BACK:
        out.print(f"{view.phase}: {view.reason}")
        raise typer.Exit(ExitCode.WENT_BACK)
    out.print(f"rolled back: {view.reason}")


def _say(view: RolloutView) -> None:
    out.print(str(view), markup=False)


async def _require_release(desk: Desk, service: str, environment: str, wanted: str) -> None:
    position = ENVIRONMENTS.index(environment)
    if position == 0:
        if wanted and await desk.ledger.releases.find(service, wanted) is None:
            built = await desk.ledger.releases.of(service, limit=10)
            raise NotFound(unknown("release", wanted, [release.name for release in built]))
        return
    before = ENVIRONMENTS[position - 1]
    verified = await desk.ledger.promotions.verified(service, before)
    if not verified:
        raise GateClosed(f"{before} has verified no release of {service} yet: promote one there first")
    if wanted and not any(wanted in (release.name, release.digest) for release in verified):
        names = [release.name for release in verified[:10]]
        if await desk.ledger.releases.find(service, wanted) is None:
            raise NotFound(unknown("release", wanted, names))
        raise GateClosed(f"{wanted} is not verified in {before}; {environment} would take {', '.join(names)}")


async def _require_free(desk: Desk, service: str, environment: str, wanted: str) -> None:
    """GateClosed while the release that this would take is on hold. The DAG's `resolve` asks again."""
    position = ENVIRONMENTS.index(environment)
    if wanted:
        chosen = await desk.ledger.releases.find(service, wanted)
    elif position:
        verified = await desk.ledger.promotions.verified(service, ENVIRONMENTS[position - 1], limit=1)
        chosen = verified[0] if verified else None
    else:
        return
    if chosen is not None:
        held = await desk.ledger.digest_holds.standing(service, environment, chosen.digest)
        require_free(held, f"{service}/{environment}", chosen.name)


async def _require_idle(desk: Desk, service: str, environment: str) -> None:
    running = await desk.ledger.rollouts.active(service, environment)
    if running is not None and not running.phase.reached(Phase.PROMOTED):
        holder = running.holder or running.requested_by
        raise Held(
            f"{running.release.name} of {service} is already on its way to {environment}: {running.phase}, "
            f"asked for by {running.requested_by}, held by {holder}. "
            f"Wait, or: ops abort {service} {environment}"
        )
    runs = await desk.airflow.runs(_dag(service, environment), states=_UNFINISHED)
    if runs:
        raise Held(f"run {runs[0].run_id} of {_dag(service, environment)} is {runs[0].state}: {runs[0].url}")


async def _nothing_warm(desk: Desk, service: str, environment: str) -> str:
    last = await desk.ledger.rollouts.of(service, environment, 1)
    if last and last[0].phase is Phase.ROLLED_BACK:
        return f"{last[0].release.name} of {service} already went back in {environment}: {last[0].reason}"
    verified = await desk.ledger.promotions.verified(service, environment)
    text = f"{service} in {environment} has no rollout to go back from: its warm window is over"
    if len(verified) > 1:
        again = f"ops promote {service} {environment} --release {verified[1].name}"
        return f"{text}. Promote the version before: {again}"
    return f"{text}, and no other release was verified there"


def _dag(service: str, environment: str) -> str:
    return f"promote_{service}_{environment}"
