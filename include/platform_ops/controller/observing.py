"""Looking at the world: cluster, route and metrics, at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta

from platform_ops.core.errors import OpsError, Refused
from platform_ops.core.migration import NO_JOB, MigrationStatus
from platform_ops.core.ports import ColourStatus, Metrics, Point, RouteState, TrafficRouter
from platform_ops.core.release import Target, Weights
from platform_ops.core.state import Observed, Phase, Rollout
from platform_ops.core.triggers import Trigger, Verdict, judge, promql, unavailable

from .ports import Ports

_POINTS = 120
"""Per range query at most about so many."""


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


async def _verdicts(metrics: Metrics, rollout: Rollout, now: datetime) -> tuple[Verdict, ...]:
    """Each distinct query is asked once, although triggers share the count of requests."""
    triggers = rollout.plan.triggers
    wanted = {query: None for t in triggers for query in _queries(t, rollout, now)}
    answers = await asyncio.gather(*(_ask(metrics, *query, now) for query in wanted))
    points = dict(zip(wanted, answers, strict=True))
    return tuple(_verdict(t, rollout, now, points) for t in triggers)


_Query = tuple[str, datetime, timedelta]
_Answer = tuple[Point, ...] | OpsError


def _queries(trigger: Trigger, rollout: Rollout, now: datetime) -> Iterable[_Query]:
    """Range queries that reach one step further back than what is judged."""
    start = min(_judged_from(rollout, now), now - trigger.sustained)
    step = max(timedelta(seconds=1), (now - start) / _POINTS)
    for expression in (trigger.expression, trigger.count):
        filled = promql(
            expression,
            namespace=rollout.target.namespace,
            service=rollout.target.service,
            colour=rollout.colour,
            window=trigger.sustained,
        )
        yield filled, start - step, step


def _judged_from(rollout: Rollout, now: datetime) -> datetime:
    """A step is judged from its begin. In the warm window only the triggers' own windows matter."""
    if rollout.phase in (Phase.PROMOTED, Phase.WARM):
        return now
    return rollout.since or now


async def _ask(metrics: Metrics, expression: str, start: datetime, step: timedelta, now: datetime) -> _Answer:
    try:
        return await metrics.range(expression, start, now, step)
    except OpsError as error:
        return error


def _verdict(trigger: Trigger, rollout: Rollout, now: datetime, points: dict[_Query, _Answer]) -> Verdict:
    values, counts = (points[query] for query in _queries(trigger, rollout, now))
    for answer in (values, counts):
        if isinstance(answer, OpsError):
            return unavailable(trigger, str(answer))
    assert not isinstance(values, OpsError)
    assert not isinstance(counts, OpsError)
    begin = rollout.moved_at or now
    return judge(trigger, values, counts, begin=begin, since=_judged_from(rollout, now), now=now)
