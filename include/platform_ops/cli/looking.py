"""`ops status`, `watch`, `logs`: what is going on."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.core.errors import NotFound
from platform_ops.core.release import Colour, Target
from platform_ops.core.state import Phase
from platform_ops.wiring import Desk

from .asking import AsJson, Environment, OneEnvironment, OneService, Service, at_desk
from .auditing import follow_up
from .figures import ColourFigures, Figures, look
from .output import ExitCode, err, out, print_json, print_json_line, table

_ENDED_BADLY = (Phase.ROLLED_BACK.value, Phase.NEEDS_ATTENTION.value)
SHOWN_HOLDS = 3
"""Releases on hold that `status` names for an environment, the newest ones; `ops audit` has all."""

_ENDED_WELL = (Phase.PROMOTED.value, Phase.WARM.value, Phase.RECLAIMED.value)


def status(service: OneService = None, environment: OneEnvironment = None, as_json: AsJson = False) -> None:
    """Where every service stands: release, weights, pods, and the rollout that is not over."""

    async def act(desk: Desk) -> None:
        wanted = [
            (name, place) for name in _chosen(desk, service) for place in _places(desk, name, environment)
        ]
        found = await asyncio.gather(*(look(desk, *one) for one in wanted))
        if as_json:
            print_json(found)
        else:
            _show(found)

    at_desk(act)


def watch(
    service: Service,
    environment: Environment,
    as_json: AsJson = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once.")] = False,
) -> None:
    """Phase, weights, errors, answer times and pods, live, until the rollout is promoted or went back."""

    async def act(desk: Desk) -> None:
        desk.catalog.environment(service, environment)
        if as_json or not out.is_terminal:
            last = await _stream(desk, service, environment, interval, once, as_json)
        else:
            last = await _live(desk, service, environment, interval, once)
        if last.phase in _ENDED_BADLY:
            raise typer.Exit(ExitCode.WENT_BACK)

    at_desk(act)


def logs(
    service: Service,
    environment: Environment,
    colour: Annotated[Colour | None, typer.Option(help="By default the colour that has the traffic.")] = None,
    tail: Annotated[int, typer.Option(min=1, help="Lines of each pod.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what the pods write.")] = False,
    as_json: AsJson = False,
) -> None:
    """The logs of a colour's pods, each line with its pod."""

    async def act(desk: Desk) -> None:
        target = desk.catalog.target(service, environment)
        chosen = colour or (await desk.router.observe(target)).weights.majority
        pods = await desk.workloads.pods(target, chosen) if chosen else []
        if not pods:
            raise NotFound(
                f"{target.key} has no pods{f' of {chosen}' if chosen else ': nothing serves there'}"
            )
        if follow:
            await asyncio.gather(*(_print_log(desk, target, pod, tail, True, as_json) for pod in pods))
        else:
            for pod in pods:
                await _print_log(desk, target, pod, tail, False, as_json)

    at_desk(act)


async def _print_log(desk: Desk, target: Target, pod: str, tail: int, follow: bool, as_json: bool) -> None:
    async for line in desk.workloads.log_lines(target, pod, tail=tail, follow=follow):
        if as_json:
            print_json_line({"pod": pod, "line": line})
        else:
            typer.echo(f"{pod} {line}")


def _chosen(desk: Desk, service: str | None) -> list[str]:
    if service is None:
        return list(desk.catalog.services)
    desk.catalog.service(service)
    return [service]


def _places(desk: Desk, service: str, environment: str | None) -> list[str]:
    if environment is None:
        return list(ENVIRONMENTS)
    desk.catalog.environment(service, environment)
    return [environment]


async def _stream(
    desk: Desk, service: str, environment: str, interval: float, once: bool, as_json: bool
) -> Figures:
    """One line for each look that differs from the one before."""
    shown: object = None
    while True:
        found = await _last_known(desk, service, environment, shown is not None)
        if as_json:
            print_json_line(found)
        elif (line := _line(found)) != shown:
            typer.echo(line)
            shown = line
        if once or found.phase in (*_ENDED_BADLY, *_ENDED_WELL):
            return found
        await asyncio.sleep(interval)


async def _live(desk: Desk, service: str, environment: str, interval: float, once: bool) -> Figures:
    with Live(console=out, auto_refresh=False) as live:
        seen = False
        while True:
            found = await _last_known(desk, service, environment, seen)
            seen = seen or found.phase is not None
            live.update(_panel(found), refresh=True)
            if once or found.phase in (*_ENDED_BADLY, *_ENDED_WELL):
                return found
            await asyncio.sleep(interval)


async def _last_known(desk: Desk, service: str, environment: str, seen: bool) -> Figures:
    """The state now; of a rollout that ended between two looks, its end."""
    found = await look(desk, service, environment, traffic=True)
    if found.phase is None and seen and (ended := await desk.ledger.rollouts.of(service, environment, 1)):
        rollout = ended[0]
        return Figures(
            service,
            environment,
            rollout.phase.value,
            rollout.step,
            rollout.release.name,
            rollout.holder,
            rollout.lease_until,
            None,
            rollout.reason,
            found.colours,
            found.on_hold,
            found.trouble,
        )
    return found


def _show(found: list[Figures]) -> None:
    rows = table("service", "environment", "blue", "green", "rollout")
    for one in found:
        by_colour = {figures.colour: _cell(figures) for figures in one.colours}
        blue, green = (by_colour.get(colour, "?") for colour in (Colour.BLUE, Colour.GREEN))
        rows.add_row(one.service, one.environment, blue, green, _rollout(one))
    out.print(rows)
    for one in found:
        for release in one.on_hold[-SHOWN_HOLDS:]:
            out.print(f"{one.service}/{one.environment}: on hold: {release}", markup=False, soft_wrap=True)
    for hotfix in (hotfix for one in found for hotfix in one.unmerged):
        text = f"hotfix {hotfix.name} of {hotfix.service} ({hotfix.why}): {follow_up(hotfix)}"
        out.print(text, markup=False)
    for text in dict.fromkeys(text for one in found for text in one.trouble):
        err.print(text, style="yellow", markup=False)


def _cell(figures: ColourFigures) -> str:
    if not figures.status.exists:
        return "–"
    failing = f" {figures.status.failing[0]}" if figures.status.failing else ""
    pods = f"{figures.status.ready}/{figures.status.desired}"
    return f"{figures.weight} % {figures.release or 'no digest'} {pods} ready{failing}"


def _rollout(one: Figures) -> str:
    if one.phase is None:
        return "–"
    hold = f", held: {one.hold}" if one.hold else ""
    return f"{one.release} {one.phase}{hold}" + (f": {one.reason}" if one.reason else "")


def _line(found: Figures) -> str:
    colours = "; ".join(f"{one.colour} {_cell(one)} {_traffic(one)}" for one in found.colours)
    return f"{found.service}/{found.environment}: {_rollout(found)} | {colours or '; '.join(found.trouble)}"


def _traffic(one: ColourFigures) -> str:
    if one.requests is None:
        return "no requests"
    rate = f"{one.error_rate:.1%} errors" if one.error_rate is not None else "no error rate"
    p95 = f", p95 {one.p95 * 1000:.0f} ms" if one.p95 is not None else ""
    return f"{one.requests} requests in 30 s, {rate}{p95}"


def _panel(found: Figures) -> Group:
    rows = table("colour", "weight", "release", "ready", "in 30 s", "wrong")
    for one in found.colours:
        bar = "█" * round(one.weight / 5)
        pods = f"{one.status.ready}/{one.status.desired}"
        wrong = "; ".join(one.status.failing)
        rows.add_row(
            one.colour.value, f"{one.weight:3} % {bar}", one.release or "–", pods, _traffic(one), wrong
        )
    head = Text(f"{found.service} in {found.environment}: {_rollout(found)}", style="bold")
    holder = Text(f"held by {found.holder or 'nobody'}; Ctrl-C ends watching, not the rollout", style="dim")
    trouble = [Text(text, style="yellow") for text in found.trouble]
    parts: list[Text | Table] = [head, rows, *trouble, holder]
    return Group(*parts)
