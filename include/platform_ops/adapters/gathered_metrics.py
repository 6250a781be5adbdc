"""The metrics of many rollouts in one query: what is asked at the same moment with the same spacing.

Each expression is labelled with its place, and all are joined by `or`:
`(label_replace((A), "platform_ops_query", "0", "", "") or label_replace((B), …))`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_ops.core.errors import Refused, Unavailable
from platform_ops.core.ports import Series

from .gathering import Gathering
from .prometheus import PrometheusMetrics

Found = tuple[Series, ...]

_LABEL = "platform_ops_query"
AT_MOST = 10
"""Expressions in one query. An `or` costs more than a query does when much stands before it: fifty took
several times as long as five times ten."""


@dataclass(frozen=True)
class _Asked:
    expression: str
    start: datetime
    end: datetime


class GatheredMetrics:
    """The `Metrics` port over Prometheus. Spacings are whole seconds, so that ranges can be shared."""

    def __init__(self, metrics: PrometheusMetrics) -> None:
        self._metrics = metrics
        self._by_step: dict[timedelta, Gathering[_Asked, Found]] = {}

    async def range(self, expression: str, start: datetime, end: datetime, step: timedelta) -> Found:
        spacing = timedelta(seconds=max(1, math.floor(step.total_seconds())))
        if spacing not in self._by_step:
            self._by_step[spacing] = Gathering(lambda asked: self._ranges(asked, spacing), at_most=AT_MOST)
        return await self._by_step[spacing].ask(_Asked(expression, start, end))

    async def instant(self, expression: str, at: datetime) -> float | None:
        return await self._metrics.instant(expression, at)

    async def _ranges(
        self, asked: Sequence[_Asked], step: timedelta
    ) -> Mapping[_Asked, Found | BaseException]:
        start, end = min(one.start for one in asked), max(one.end for one in asked)
        expressions = tuple(dict.fromkeys(one.expression for one in asked))
        try:
            found = await self._joined(expressions, start, end, step)
        except Refused:
            # One of them is wrong: who asked for that one shall hear it, and the others shall not suffer.
            return await self._each(asked, step)
        return {one: _within(found.get(one.expression, ()), one.start, one.end) for one in asked}

    async def _each(self, asked: Sequence[_Asked], step: timedelta) -> Mapping[_Asked, Found | BaseException]:
        answers = await asyncio.gather(
            *(self._metrics.range(one.expression, one.start, one.end, step) for one in asked),
            return_exceptions=True,
        )
        return dict(zip(asked, answers, strict=True))

    async def _joined(
        self, expressions: Sequence[str], start: datetime, end: datetime, step: timedelta
    ) -> dict[str, Found]:
        labelled = [
            f'label_replace(({expression}), "{_LABEL}", "{place}", "", "")'
            for place, expression in enumerate(expressions)
        ]
        found: dict[str, list[Series]] = {}
        for series in await self._metrics.range(_either(labelled), start, end, step):
            labels = {name: value for name, value in series.labels.items() if name != _LABEL}
            asked = expressions[_place(series.labels, len(expressions))]
            found.setdefault(asked, []).append(Series(series.points, labels))
        return {expression: tuple(series) for expression, series in found.items()}


def _place(labels: Mapping[str, str], asked: int) -> int:
    """Which expression a series answers. One that says it of none must not be taken for anybody's figures."""
    text = labels.get(_LABEL, "")
    if not text.isdecimal() or int(text) >= asked:
        raise Unavailable(f"Prometheus answers {dict(labels)}, for which nobody asked")
    return int(text)


def _either(expressions: Sequence[str]) -> str:
    """All of them, joined by `or` in pairs of pairs: from left to right each `or` would go once more, at each
    point, through everything that stands before it."""
    if len(expressions) == 1:
        return expressions[0]
    middle = len(expressions) // 2
    return f"({_either(expressions[:middle])} or {_either(expressions[middle:])})"


def _within(found: Found, start: datetime, end: datetime) -> Found:
    """Each series as far as it was asked for; one without a point there is left out."""
    cut = (Series(tuple(p for p in one.points if start <= p.at <= end), one.labels) for one in found)
    return tuple(one for one in cut if one.points)
