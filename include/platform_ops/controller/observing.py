"""Looking at the world: cluster, route and metrics, at the same time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_ops.core.errors import OpsError, Refused
from platform_ops.core.judging import Answers, judge, unavailable
from platform_ops.core.migration import NO_JOB, MigrationStatus
from platform_ops.core.ports import ColourStatus, Metrics, RouteState, Series, TrafficRouter, Workloads
from platform_ops.core.release import Colour, Target, Weights
from platform_ops.core.state import Observed, Phase, Rollout
from platform_ops.core.triggers import Trigger, Verdict, promql

from .ports import Ports

_POINTS = 240
"""Per range query at most about so many."""

_FINEST = timedelta(seconds=1)

_WARM_WINDOWS = 4
"""How many windows the observer looks back after the promotion, for an environment with little traffic."""


class Observer:
    """Remembers only since when the new colour has been short of ready pods."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._unready_since: datetime | None = None

    async def observe(self, rollout: Rollout) -> Observed:
        """Raises TemporaryError when the cluster does not answer; metrics that do not are a verdict."""
        new, old, route = await self._world(rollout)
        now = self._ports.clock.now()
        if new.ready >= rollout.plan.replicas:
            self._unready_since = None
        elif self._unready_since is None:
            self._unready_since = now
        judged = rollout.phase.under_traffic and rollout.moved
        verdicts = await _verdicts(self._ports.metrics, rollout, now) if judged else ()
        migration = await self._migration(rollout)
        return Observed(rollout, new, old, route, verdicts, self._unready_since, migration)

    async def _migration(self, rollout: Rollout) -> MigrationStatus:
        planned = rollout.plan.migration
        if planned is None or rollout.phase is not Phase.DEPLOYING:
            return NO_JOB
        return await self._ports.migrations.status(rollout.target, planned.job)

    async def _world(self, rollout: Rollout) -> tuple[ColourStatus, ColourStatus, RouteState]:
        workloads, target = self._ports.workloads, rollout.target
        return await asyncio.gather(
            workloads.status(target, rollout.colour),
            workloads.status(target, rollout.old),
            route_of(self._ports.router, target),
        )


async def route_of(router: TrafficRouter, target: Target) -> RouteState:
    """The route; one that somebody else owns or rewrote is told as its trouble, not raised."""
    try:
        return await router.observe(target)
    except Refused as refused:
        return RouteState(Weights(), 0, str(refused))


@dataclass(frozen=True)
class Serving:
    """What has most of the traffic somewhere."""

    colour: Colour | None
    """None: there is no route yet."""
    digest: str | None

    @property
    def preview(self) -> Colour:
        """The colour that a rollout brings up."""
        return self.colour.other if self.colour else Colour.BLUE


async def serving(router: TrafficRouter, workloads: Workloads, target: Target) -> Serving:
    """Raises what cluster and router raise."""
    active = (await router.observe(target)).weights.majority
    if active is None:
        return Serving(None, None)
    return Serving(active, (await workloads.status(target, active)).digest)


async def _verdicts(metrics: Metrics, rollout: Rollout, now: datetime) -> tuple[Verdict, ...]:
    triggers = rollout.plan.triggers
    if not triggers:
        return ()
    judged = Judged(rollout.target, rollout.colour, rollout.moved_at or now, _judged_from(rollout, now))
    return await verdicts(metrics, triggers, judged, now)


@dataclass(frozen=True)
class Judged:
    """A colour, and since when its triggers look at it."""

    target: Target
    colour: Colour
    begin: datetime
    """When its release first got traffic."""
    since: datetime
    """When its step began."""


async def verdicts(
    metrics: Metrics, triggers: Sequence[Trigger], judged: Judged, now: datetime
) -> tuple[Verdict, ...]:
    """One for each trigger; metrics that do not answer are one, too. Each distinct query is asked once, over
    one range: triggers share the counters of requests."""
    longest = max(trigger.sustained for trigger in triggers)
    span = now - min(judged.since, now - longest)
    # Whole seconds, so that many rollouts can share a query; the first point lies before what is judged.
    step = _FINEST * max(1, math.ceil(span / _FINEST / _POINTS))
    start = now - (span // step + 2) * step
    wanted = {query: None for trigger in triggers for query in _queries(trigger, judged)}
    answers = await asyncio.gather(*(_ask(metrics, query, start, step, now) for query in wanted))
    found = dict(zip(wanted, answers, strict=True))
    return tuple(_verdict(trigger, judged, now, found) for trigger in triggers)


_Answer = tuple[Series, ...] | OpsError


def _queries(trigger: Trigger, judged: Judged) -> tuple[str, str]:
    """What is judged, and its sample."""
    where = judged.target

    def filled(expression: str) -> str:
        return promql(
            expression,
            namespace=where.namespace,
            service=where.service,
            colour=judged.colour,
            window=trigger.sustained,
        )

    return filled(trigger.expression), filled(trigger.count)


def _judged_from(rollout: Rollout, now: datetime) -> datetime:
    """A step is judged from its begin. After the promotion the triggers' own windows matter; where they hold
    too few requests, as much before them as a few windows."""
    if rollout.phase in (Phase.PROMOTED, Phase.WARM):
        return now - looked_back(rollout.plan.triggers)
    return rollout.since or now


def looked_back(triggers: Sequence[Trigger]) -> timedelta:
    """How far back a colour is judged that serves already."""
    return _WARM_WINDOWS * max(trigger.sustained for trigger in triggers)


async def _ask(metrics: Metrics, expression: str, start: datetime, step: timedelta, now: datetime) -> _Answer:
    try:
        return await metrics.range(expression, start, now, step)
    except OpsError as error:
        return error


def _verdict(trigger: Trigger, judged: Judged, now: datetime, found: dict[str, _Answer]) -> Verdict:
    values, counts = (found[query] for query in _queries(trigger, judged))
    for answer in (values, counts):
        if isinstance(answer, OpsError):
            return unavailable(trigger, str(answer))
    assert not isinstance(values, OpsError)
    assert not isinstance(counts, OpsError)
    if of_other := _of_other_colour((*values, *counts), judged):
        return unavailable(trigger, of_other)
    return judge(trigger, Answers(values, counts), begin=judged.begin, since=judged.since, now=now)


def _of_other_colour(found: tuple[Series, ...], judged: Judged) -> str:
    """Why these figures are none of the colour: a label names the other one. Empty: none does."""
    target, colour = judged.target, judged.colour
    own, other = target.deployment(colour), target.deployment(colour.other)
    for series in found:
        named = [text for text in series.labels.values() if text != target.namespace]
        if any(other in text for text in named) and not any(own in text for text in named):
            return f"asked for {own}, the metrics answer about {other}: look at the query and at relabelling"
    return ""
