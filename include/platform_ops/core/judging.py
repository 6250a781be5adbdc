"""The pure verdict of a trigger over what Prometheus answered.

`RATIO` is judged on counts: a ratio of tiny buckets would roll healthy releases back at low traffic. A
breach of "> 1 % for 2 min" needs all of these:

* the minimum sample. Where the window of 2 min holds too few events, the shortest longer one that holds
  enough is judged, within the step (in the warm window: within what the observer looked back);
* more than bad luck: under a true share at the limit, so many bad events would come in fewer than one of a
  hundred windows. Only where events are independent: requests are, the probes of one pod are not;
* it lasts: each half of the window breaches by itself, and no quarter of it, nor its first and last eighth,
  is within the limit if anything happened there. So a burst that is shorter than three quarters of the
  window never counts, wherever it lies, and neither does one that is over.

`at_once` drops the last two: the fast burn fires as soon as its count is there.

`LEVEL` is judged for each series (each pod) by itself: every point of the window breaches. A series that
ended says nothing any more.

Figures that come late say nothing about now: where all of them end before the window begins, there are none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise

from .counters import Counters, Target, first_seen
from .ports import Point, Series
from .triggers import Comparison, Kind, Outcome, Sample, Trigger, Verdict

BAD_LUCK = 0.01
"""A window this unlikely at the limit itself is a breach."""


class Answers:
    """What the metrics answered to a trigger's two queries; made once, asked for many moments."""

    def __init__(self, values: Sequence[Series], counts: Sequence[Series]) -> None:
        self.values = tuple(one for one in values if one.points)
        self.counts = tuple(one for one in counts if one.points)

    @cached_property
    def bad(self) -> Counters:
        return Counters(self.values, self._seen)

    @cached_property
    def all(self) -> Counters:
        return Counters(self.counts, self._seen)

    @cached_property
    def _seen(self) -> dict[Target, float]:
        return first_seen((*self.values, *self.counts))


def judge(trigger: Trigger, answers: Answers, *, begin: datetime, since: datetime, now: datetime) -> Verdict:
    """The verdict at `now`. `since` is when the step began: where the trigger's own window holds too few
    events, it is judged from there at the earliest. `begin` is when this release first got traffic: what the
    colour did before was another release's."""
    if not answers.counts:
        return _verdict(trigger, Outcome.NO_DATA, f"the metrics hold no {trigger.events} of this colour")
    newest = max(one.points[-1].at for one in answers.counts)
    if newest < now - trigger.sustained:
        late = f"the newest {trigger.events} that the metrics hold are of {newest:%H:%M:%S} UTC"
        return _verdict(trigger, Outcome.NO_DATA, f"{late}: look at the scrapes, and at the clocks")
    start = max(now - trigger.sustained, begin)
    samples = _samples(trigger, answers, start, now)
    if samples < trigger.minimum_samples and _may_look_further_back(trigger, since, start):
        start = answers.all.latest_start(trigger.minimum_samples - 0.5, now, max(since, begin))
        samples = _samples(trigger, answers, start, now)
    if samples < trigger.minimum_samples or samples == 0:
        why = f"{samples} of at least {trigger.minimum_samples} {trigger.events}"
        return _verdict(trigger, Outcome.INSUFFICIENT, why, samples=samples)
    if trigger.kind is Kind.RATIO:
        return _judge_ratio(trigger, answers, samples, start, now)
    return _judge_level(trigger, answers.values, samples, start, begin, now)


def unavailable(trigger: Trigger, why: str) -> Verdict:
    return _verdict(trigger, Outcome.UNAVAILABLE, why)


def _samples(trigger: Trigger, answers: Answers, start: datetime, now: datetime) -> int:
    if trigger.sample is Sample.INCREASE:
        return round(answers.all.grown(start, now))
    latest = [one.points[-1].value for one in _alive(answers.counts)]
    return round(sum(value for value in latest if math.isfinite(value)))


def _may_look_further_back(trigger: Trigger, since: datetime, start: datetime) -> bool:
    return trigger.sample is Sample.INCREASE and not trigger.at_once and since < start


def _judge_ratio(trigger: Trigger, answers: Answers, samples: int, start: datetime, now: datetime) -> Verdict:
    bad = min(samples, round(answers.bad.grown(start, now)))
    ratio = bad / samples
    text = (
        f"{bad} of {samples} {trigger.events} {trigger.defect} ({ratio:.1%}; limit {trigger.threshold:.1%})"
    )
    counted, limit = bad, trigger.threshold
    if trigger.comparison is Comparison.BELOW:
        counted, limit = samples - bad, 1 - trigger.threshold
    if trigger.at_once:
        outcome = Outcome.BREACH if counted >= limit * samples else Outcome.PASS
    elif counted <= limit * samples:
        outcome = Outcome.PASS
    elif trigger.independent and binomial_tail(counted, samples, limit) > BAD_LUCK:
        outcome = Outcome.PENDING
    else:
        lasting = now - start >= trigger.sustained and _lasts(trigger, answers, start, now)
        outcome = Outcome.BREACH if lasting else Outcome.PENDING
    return _verdict(trigger, outcome, text, ratio, samples)


_PARTS = (range(1), range(7, 8), range(2), range(2, 4), range(4, 6), range(6, 8))
"""Eighths of the window that may not contradict a breach: the first, the last, and each quarter."""

_HALVES = (range(4), range(4, 8))


def _lasts(trigger: Trigger, answers: Answers, start: datetime, now: datetime) -> bool:
    """Whether each half breaches and no part contradicts. A part without events says nothing: the scrapes may
    be further apart."""
    eighth = (now - start) / 8
    edges = [start + eighth * n for n in range(8)] + [now]
    happened = [answers.all.grown(a, b) for a, b in pairwise(edges)]
    bad = [answers.bad.grown(a, b) for a, b in pairwise(edges)]

    def over(parts: range) -> bool:
        events, found = sum(happened[n] for n in parts), sum(bad[n] for n in parts)
        if trigger.comparison is Comparison.BELOW:
            return found < trigger.threshold * events
        return found > trigger.threshold * events

    contradicted = any(any(happened[n] for n in part) and not over(part) for part in _PARTS)
    return not contradicted and all(over(half) for half in _HALVES)


def _judge_level(
    trigger: Trigger, values: Sequence[Series], samples: int, start: datetime, begin: datetime, now: datetime
) -> Verdict:
    """The worst series decides. A quantile of no requests has no value: where the sample is all of the
    step's, so are the values."""
    window_start = now - trigger.sustained
    known = [
        points
        for one in _alive(values)
        if (points := [p for p in one.points if p.at >= min(window_start, start)])
    ]
    if not known:
        return _verdict(trigger, Outcome.NO_DATA, "it has no value in the window", samples=samples)
    latest = [points[-1].value for points in known]
    worst = max(latest) if trigger.comparison is Comparison.ABOVE else min(latest)
    text = f"{worst:g} (limit {trigger.threshold:g}, {samples} {trigger.events})"
    if not _over(trigger, worst):
        return _verdict(trigger, Outcome.PASS, text, worst, samples)
    lasting = window_start >= begin and any(_stays_over(trigger, points, window_start) for points in known)
    return _verdict(trigger, Outcome.BREACH if lasting else Outcome.PENDING, text, worst, samples)


def _stays_over(trigger: Trigger, points: Sequence[Point], start: datetime) -> bool:
    """Whether data reach back to `start`, give or take one scrape, and all of them since breach."""
    if len(points) < 2:
        return False
    spacing = min(b.at - a.at for a, b in pairwise(points))
    inside = [p for p in points if p.at >= start]
    return bool(inside) and points[0].at <= start + spacing and all(_over(trigger, p.value) for p in inside)


def _alive(series: Sequence[Series]) -> list[Series]:
    """Those that go on to the end of what was answered, give or take one point."""
    ends = [one.points[-1].at for one in series]
    spacing = min((b.at - a.at for one in series for a, b in pairwise(one.points[-3:])), default=timedelta())
    return [one for one, end in zip(series, ends, strict=True) if end >= max(ends) - spacing]


def _over(trigger: Trigger, value: float) -> bool:
    if trigger.comparison is Comparison.BELOW:
        return value < trigger.threshold
    return value > trigger.threshold


def _verdict(
    trigger: Trigger, outcome: Outcome, why: str, value: float | None = None, samples: int = 0
) -> Verdict:
    return Verdict(trigger.name, outcome, f"{trigger.name}: {why}", value, samples, trigger.on_no_data)


def binomial_tail(bad: int, total: int, share: float) -> float:
    """P(X >= bad) for X ~ Binomial(total, share). Terms above the mean fall; tiny ones end the sum."""
    if bad <= 0 or share >= 1:
        return 1.0
    if share <= 0 or bad > total:
        return 0.0
    log_choose = math.lgamma(total + 1) - math.lgamma(bad + 1) - math.lgamma(total - bad + 1)
    term = math.exp(log_choose + bad * math.log(share) + (total - bad) * math.log1p(-share))
    odds, summed = share / (1 - share), 0.0
    for k in range(bad, total + 1):
        summed += term
        if k > total * share and term < summed * 1e-9:
            break
        term *= (total - k) / (k + 1) * odds
    return min(1.0, summed)
