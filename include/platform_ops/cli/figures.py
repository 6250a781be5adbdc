"""The state of one service in one environment, as `status` and `watch` show it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.core.errors import OpsError
from platform_ops.core.hotfix import Hotfix
from platform_ops.core.judging import Answers
from platform_ops.core.ports import ColourStatus
from platform_ops.core.release import Colour, Target, Weights
from platform_ops.core.state import Rollout
from platform_ops.core.triggers import ERRORS, P95_SECONDS, REQUESTS, promql
from platform_ops.wiring import Desk

WINDOW = timedelta(seconds=30)
_STEP = timedelta(seconds=1)


@dataclass(frozen=True)
class ColourFigures:
    colour: Colour
    weight: int
    release: str | None
    """Name of the release that its Deployment runs; the digest when the ledger does not know it."""
    status: ColourStatus
    requests: int | None = None
    """In the last 30 s; None: no data."""
    errors: int | None = None
    p95: float | None = None
    """Seconds."""

    @property
    def error_rate(self) -> float | None:
        return self.errors / self.requests if self.requests and self.errors is not None else None


@dataclass(frozen=True)
class Figures:
    service: str
    environment: str
    phase: str | None
    step: int | None
    release: str | None
    """What is being promoted, or was last."""
    holder: str | None
    lease_until: datetime | None
    hold: str | None
    reason: str
    colours: tuple[ColourFigures, ...]
    on_hold: tuple[str, ...]
    """Releases that nobody may promote there again after a rollback, and why."""
    trouble: tuple[str, ...]
    """Systems that did not answer, in words: their figures are missing."""
    unmerged: tuple[Hotfix, ...] = ()
    """Hotfixes that went here and are not in every branch yet."""


async def look(desk: Desk, service: str, environment: str, *, traffic: bool = False) -> Figures:
    """Everything about one environment; what cannot be seen is named instead of failing the rest."""
    target = desk.catalog.target(service, environment)
    rollout = await desk.ledger.rollouts.active(service, environment)
    trouble: list[str] = []
    colours: tuple[ColourFigures, ...] = ()
    try:
        route = await desk.router.observe(target)
        colours = tuple(
            await asyncio.gather(*(_colour(desk, target, colour, route.weights) for colour in Colour))
        )
        if traffic:
            colours = tuple(await asyncio.gather(*(_with_traffic(desk, target, one) for one in colours)))
    except OpsError as error:
        trouble.append(str(error))
    return Figures(
        service=service,
        environment=environment,
        phase=rollout.phase.value if rollout else None,
        step=rollout.step if rollout else None,
        release=rollout.release.name if rollout else None,
        holder=rollout.holder if rollout and _leased(rollout, desk.clock.now()) else None,
        lease_until=rollout.lease_until if rollout else None,
        hold=f"{rollout.hold.by}: {rollout.hold.why}" if rollout and rollout.hold else None,
        reason=rollout.reason if rollout else "",
        colours=colours,
        on_hold=await _on_hold(desk, service, environment),
        trouble=tuple(trouble),
        unmerged=await _unmerged(desk, service, environment),
    )


async def _on_hold(desk: Desk, service: str, environment: str) -> tuple[str, ...]:
    found = []
    for hold in await desk.ledger.digest_holds.standing(service, environment):
        release = await desk.ledger.releases.find(service, hold.digest)
        found.append(f"{release.name if release else hold.digest} (back in {hold.environment}: {hold.why})")
    return tuple(found)


async def _unmerged(desk: Desk, service: str, environment: str) -> tuple[Hotfix, ...]:
    return await desk.ledger.hotfixes.unmerged(service) if environment == ENVIRONMENTS[-1] else ()


def _leased(rollout: Rollout, now: datetime) -> bool:
    """Whether somebody drives it now; a lease that ran out says who did last."""
    return rollout.lease_until is not None and rollout.lease_until > now


async def _colour(desk: Desk, target: Target, colour: Colour, weights: Weights) -> ColourFigures:
    status = await desk.workloads.status(target, colour)
    release = status.digest
    if status.digest and (known := await desk.ledger.releases.find(target.service, status.digest)):
        release = known.name
    return ColourFigures(colour, weights.of(colour), release, status)


async def _with_traffic(desk: Desk, target: Target, figures: ColourFigures) -> ColourFigures:
    now = desk.clock.now()
    since = now - WINDOW

    def filled(expression: str) -> str:
        return promql(
            expression,
            namespace=target.namespace,
            service=target.service,
            colour=figures.colour.value,
            window=WINDOW,
        )

    counts, errors, p95 = await asyncio.gather(
        desk.metrics.range(filled(REQUESTS), since - _STEP, now, _STEP),
        desk.metrics.range(filled(ERRORS), since - _STEP, now, _STEP),
        desk.metrics.instant(filled(P95_SECONDS), now),
    )
    answers = Answers(errors, counts)
    return ColourFigures(
        figures.colour,
        figures.weight,
        figures.release,
        figures.status,
        requests=round(answers.all.grown(since, now)) if counts else None,
        errors=round(answers.bad.grown(since, now)) if counts else None,
        p95=p95,
    )
