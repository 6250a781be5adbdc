"""How much counters grew, whatever happened to the processes that export them.

Each series is counted by itself and the growths are added: a sum of counters falls when one pod or gateway
goes, and a fall of a sum cannot be told from a restart. Per series:

* a fall is a restart from 0;
* a series that ends has grown until its last point, and nothing more: a vanished pod takes nothing away;
* a series that begins while its target (`job`, `instance`) was being scraped began at 0: it is the first
  answer with that status, or a new pod;
* a series of a target that was not seen before counts from its first point: its value may be the work of
  years, and the metrics may have been away. What is lost is one scrape;
* a point that is no finite number is no point.

Missed scrapes lose nothing, since the counter went on counting.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain

from .ports import Series

Target = tuple[str, str]


class Counters:
    """The counters of one query, as one number that only grows."""

    def __init__(self, series: Sequence[Series], seen: Mapping[Target, float] | None = None) -> None:
        """`seen`: when each target first showed anything; by default in these series."""
        known = first_seen(series) if seen is None else seen
        self._series = [_grown(one, known) for one in series if one.points]
        self._times: list[float] | None = None

    def __bool__(self) -> bool:
        """Whether there is any series at all."""
        return bool(self._series)

    def grown(self, start: datetime, end: datetime) -> float:
        """Events after `start`, up to and including `end`."""
        begin, until = start.timestamp(), end.timestamp()
        return sum(_at(one, until) - _at(one, begin) for one in self._series)

    def latest_start(self, wanted: float, end: datetime, not_before: datetime) -> datetime:
        """The begin of the shortest span up to `end` in which they grew by `wanted`; `not_before` at the
        earliest."""
        if self._times is None:
            self._times = sorted(set(chain.from_iterable(times for times, _ in self._series)))
        times, until = self._times, end.timestamp()
        total = sum(_at(one, until) for one in self._series)
        low = bisect_right(times, not_before.timestamp())
        high = bisect_right(times, until)
        while low < high:
            middle = (low + high) // 2
            if total - sum(_at(one, times[middle]) for one in self._series) >= wanted:
                low = middle + 1
            else:
                high = middle
        if low == 0 or times[low - 1] <= not_before.timestamp():
            return not_before
        return datetime.fromtimestamp(times[low - 1], UTC)


_Grown = tuple[list[float], list[float]]
"""Times of the points, and how much the counter had grown by then since the series was first seen."""


def first_seen(series: Iterable[Series]) -> dict[Target, float]:
    """When each target first showed any of the series."""
    found: dict[Target, float] = {}
    for one in series:
        if one.points:
            target, at = _target(one), one.points[0].at.timestamp()
            found[target] = min(at, found.get(target, at))
    return found


def _target(series: Series) -> Target:
    return series.labels.get("job", ""), series.labels.get("instance", "")


def _grown(series: Series, seen: Mapping[Target, float]) -> _Grown:
    times = [point.at.timestamp() for point in series.points]
    last = series.points[0].value
    total = last if times[0] > seen.get(_target(series), times[0]) else 0.0
    growth = []
    for point in series.points:
        value = point.value
        total += value - last if value >= last else value
        growth.append(total)
        last = value
    if math.isfinite(total):
        return times, growth
    # Looked at once more instead of asking each point of each series each second.
    finite = tuple(point for point in series.points if math.isfinite(point.value))
    return _grown(replace(series, points=finite), seen) if finite else ([], [])


def _at(series: _Grown, moment: float) -> float:
    times, growth = series
    index = bisect_right(times, moment)
    return growth[index - 1] if index else 0.0
