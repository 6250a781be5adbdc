"""`ops promote`, `abort`, `rollback`: what changes something."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from typing import Annotated

import typer

from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.catalog.names import unknown
from platform_ops.controller.returning import Wanted
from platform_ops.controller.rollouts import RolloutView
from platform_ops.core.admission import require_idle
from platform_ops.core.digest_holds import require_free
from platform_ops.core.errors import GateClosed, Held, NotFound
from platform_ops.core.hotfix import hotfix_dag, is_hotfix
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
    hotfix: Annotated[
        str, typer.Option(help="Branch or commit that goes straight into production; needs --why.")
    ] = "",
    incident: Annotated[str, typer.Option(help="What the hotfix repairs, if that has a name.")] = "",
    why: Annotated[str, typer.Option("--why", help="Reason of a hotfix, for approvers and journal.")] = "",
    fixes: Annotated[
        list[str] | None, typer.Option(help="Open incident whose cause the release removes; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a promotion or a hotfix: starts the run of its DAG and prints where to follow it."""

    async def act(desk: Desk) -> None:
        desk.catalog.environment(service, environment)
        desk.catalog.require_requester(service, environment, desk.settings.need("airflow_user"))
        if hotfix:
            asked = _hotfix(service, environment, hotfix, why, incident)
        else:
            await require_release(desk, service, environment, release)
            await _require_free(desk, service, environment, release)
            asked = _Asked(
                _dag(service, environment), {"release": release or None, "fixes": " ".join(fixes or ())}
            )
        async with desk.ledger.promotions.asking(service, environment):
            await _require_idle(desk, service, environment, asked)
            run = await desk.airflow.trigger(asked.dag_id, asked.conf)
        if as_json:
            print_json({"dag_id": asked.dag_id, "run_id": run.run_id, "url": run.url})
        else:
            what = f"hotfix {hotfix}" if hotfix else release or "the newest release"
            out.print(f"asked for {what} of {service} in {environment}: {run.url}")
            out.print(f"follow it with: ops watch {service} {environment}")

    if hotfix and release:
        raise typer.BadParameter("a hotfix is built in its own run: leave --release out")
    at_desk(act)


@dataclass(frozen=True)
class _Asked:
    """The run that is asked for."""

    dag_id: str
    conf: dict[str, str | None]


def _hotfix(service: str, environment: str, commit: str, why: str, incident: str) -> _Asked:
    if environment != ENVIRONMENTS[-1]:
        raise GateClosed(
            f"a hotfix goes to {ENVIRONMENTS[-1]}; in {environment} promote the branch that holds it"
        )
    if not why:
        raise GateClosed("say why with --why: the approvers read it, and whoever is pre-empted")
    return _Asked(hotfix_dag(service), {"commit": commit, "why": why, "incident": incident})


def abort(service: Service, environment: Environment, why: Why = "stopped by a person") -> None:
    """Stop a promotion that is not finished: traffic goes back, the run ends red."""

    async def act(desk: Desk) -> None:
        desk.catalog.environment(service, environment)
        running = await desk.ledger.rollouts.active(service, environment)
        if running is not None and not running.phase.reached(Phase.PROMOTED):
            await desk.controller.abort(running.id, by=person(), why=why)
            await _bring_back(desk, running.id)
            return
        stopped = False
        for dag_id in _dags(service, environment):
            for run in await desk.airflow.runs(dag_id, states=_UNFINISHED):
                await desk.airflow.stop(run, dag_id)
                stopped = True
                out.print(f"stopped {run.run_id}; it had moved no traffic")
        if not stopped:
            raise NotFound(f"no promotion of {service} to {environment} is running: nothing to abort")

    at_desk(act)


def rollback(
    service: Service,
    environment: Environment,
    to: Annotated[
        str,
        typer.Option(help="Release or digest that served there before; by default the version before."),
    ] = "",
    why: Why = "asked for by a person",
) -> None:
    """Go back to the version before, or to an earlier release, and see it proven. Works while Airflow is
    down."""

    async def act(desk: Desk) -> None:
        target = desk.catalog.target(service, environment)
        if to:
            run = f"ops__{uuid.uuid4()}"
            await _return(desk, Wanted(target, to, person(), why, f"rollback_{service}_{environment}", run))
            return
        found = await desk.ledger.rollouts.active(service, environment)
        if found is None:
            raise GateClosed(await _nothing_warm(desk, service, environment))
        await desk.controller.go_back(found.id, by=person(), why=why)
        await _bring_back(desk, found.id)

    at_desk(act)


def reclaim(service: Service, environment: Environment) -> None:
    """Remove the old colour once its warm window is over; the controller does it by itself. Refuses before,
    with the time."""

    async def act(desk: Desk) -> None:
        desk.catalog.environment(service, environment)
        rollout_id = await desk.controller.reclaimable(service, environment)
        view = await desk.controller.drive(rollout_id, goal=Phase.RECLAIMED, holder=_holder(), progress=_say)
        if view.phase is not Phase.RECLAIMED:
            out.print(f"not reclaimed: {view.phase}: {view.reason}")
            raise typer.Exit(ExitCode.WENT_BACK)
        out.print(f"reclaimed: nothing of {view.rollout.old} is left")

    at_desk(act)


async def _return(desk: Desk, wanted: Wanted) -> None:
    way = await desk.returns.begin(wanted)
    if way.goal is Phase.ROLLED_BACK:
        await _bring_back(desk, way.rollout_id)
        return
    view = await desk.controller.drive(way.rollout_id, goal=way.goal, holder=_holder(), progress=_say)
    if view.phase in (Phase.ROLLED_BACK, Phase.NEEDS_ATTENTION):
        out.print(f"not gone back to {wanted.release}: {view.phase}: {view.reason}")
        raise typer.Exit(ExitCode.WENT_BACK)
    if failures := await desk.returns.prove(way.rollout_id):
        out.print(f"{wanted.release} fails its checks: {'; '.join(failures)}")
        await _bring_back(desk, way.rollout_id)
        raise typer.Exit(ExitCode.WENT_BACK)
    out.print(f"gone back to {view.rollout.release.name}; the version that was left stays warm")


def _holder() -> str:
    return f"ops@{socket.gethostname()}:{os.getpid()}"


async def _bring_back(desk: Desk, rollout_id: str) -> None:
    """Drive the way back from here, or watch whoever does."""
    view = await desk.controller.drive(rollout_id, goal=Phase.ROLLED_BACK, holder=_holder(), progress=_say)
    if view.phase is not Phase.ROLLED_BACK:
        out.print(f"{view.phase}: {view.reason}")
        raise typer.Exit(ExitCode.WENT_BACK)
    out.print(f"rolled back: {view.reason}")


def _say(view: RolloutView) -> None:
    out.print(str(view), markup=False)


async def require_release(desk: Desk, service: str, environment: str, wanted: str) -> None:
    """NotFound for a release that was never built, GateClosed for one that may not be taken there; each with
    those that may. `wanted` is a name or digest; empty: there must be one to take."""
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


async def _require_idle(desk: Desk, service: str, environment: str, asked: _Asked) -> None:
    """A hotfix waits for nobody but another hotfix: it pre-empts a promotion."""
    first = is_hotfix(asked.dag_id)
    running = await desk.ledger.rollouts.active(service, environment)
    if not first:
        require_idle(running)
    for dag_id in (asked.dag_id,) if first else _dags(service, environment):
        runs = await desk.airflow.runs(dag_id, states=_UNFINISHED)
        if runs:
            raise Held(f"run {runs[0].run_id} of {dag_id} is {runs[0].state}: {runs[0].url}")


async def _nothing_warm(desk: Desk, service: str, environment: str) -> str:
    last = await desk.ledger.rollouts.of(service, environment, 1)
    if last and last[0].phase is Phase.ROLLED_BACK:
        return f"{last[0].release.name} of {service} already went back in {environment}: {last[0].reason}"
    verified = await desk.ledger.promotions.verified(service, environment)
    text = f"{service} in {environment} has no rollout to go back from: its warm window is over"
    if len(verified) > 1:
        again = f"ops rollback {service} {environment} --to {verified[1].name}"
        return f"{text}. Go back to a release that served before: {again}"
    return f"{text}, and no other release was verified there"


def _dags(service: str, environment: str) -> tuple[str, ...]:
    """Those that bring something into the environment."""
    hotfix = (hotfix_dag(service),) if environment == ENVIRONMENTS[-1] else ()
    return (_dag(service, environment), *hotfix)


def _dag(service: str, environment: str) -> str:
    return f"promote_{service}_{environment}"
