"""Rollback triggers as data, and the pure verdict over what Prometheus answered.

A trigger judges the *new* colour by the gateway's counters, since a dead pod exports nothing. Two kinds:

* `RATIO`: `expression` and `count` are counters (bad events, all events). Their increases over the window are
  counts of requests, and a breach must be more than bad luck: under a true ratio at the threshold so many bad
  events would come in fewer than one of a hundred windows. A ratio of tiny buckets would roll healthy
  releases back at low traffic.
* `LEVEL`: `expression` is a value (a quantile); every point of the window must breach.

"Error rate > 1 % for 2 min" is `threshold=0.01, sustained=2 min`: the window must be covered by data and each
half of it must breach. `at_once` drops that: the fast burn rule fires as soon as its count is there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from string import Template

from .ports import Point

BAD_LUCK = 0.01
"""A window this unlikely at the threshold itself is a breach."""


class Kind(StrEnum):
    RATIO = "ratio"
    LEVEL = "level"


class OnNoData(StrEnum):
    """What a missing or too small sample means for a step. It is never a pass of the trigger itself."""

    WAIT = "wait"
    """The step does not end before there is a verdict."""
    IGNORE = "ignore"
    """Only a breach counts (fast burn: quiet is its normal state)."""


@dataclass(frozen=True)
class Trigger:
    """One rule. Placeholders in the PromQL: `$namespace`, `$service`, `$colour`, `$window` (as `120s`)."""

    name: str
    kind: Kind
    expression: str
    """RATIO: the counter of bad events. LEVEL: the value in the threshold's unit."""
    count: str
    """The counter of all events of the colour; its increase is the sample."""
    threshold: float
    """RATIO: a share (0.01 is 1 %). A breach is above it; with `at_once`, at or above it."""
    sustained: timedelta
    minimum_samples: int
    at_once: bool = False
    on_no_data: OnNoData = OnNoData.WAIT


class Outcome(StrEnum):
    PASS = "pass"
    BREACH = "breach"
    PENDING = "pending"
    """Over the threshold, but not yet for long enough or not yet more than bad luck."""
    INSUFFICIENT = "insufficient"
    """Fewer events than the minimum sample."""
    NO_DATA = "no data"
    UNAVAILABLE = "unavailable"
    """The metrics provider did not answer."""


@dataclass(frozen=True)
class Verdict:
    trigger: str
    outcome: Outcome
    why: str
    """A sentence with the figures, for the journal and the page."""
    value: float | None = None
    samples: int = 0
    on_no_data: OnNoData = OnNoData.WAIT

    @property
    def breached(self) -> bool:
        return self.outcome is Outcome.BREACH

    @property
    def holds_step(self) -> bool:
        """The step may not end yet: this rule has no verdict, or a bad one."""
        if self.outcome is Outcome.PASS:
            return False
        quiet = self.outcome in (Outcome.NO_DATA, Outcome.INSUFFICIENT)
        return not (quiet and self.on_no_data is OnNoData.IGNORE)

    @property
    def lacks_samples(self) -> bool:
        return self.outcome in (Outcome.NO_DATA, Outcome.INSUFFICIENT)


def promql(expression: str, *, namespace: str, service: str, colour: str, window: timedelta) -> str:
    """The expression with its placeholders filled in. Raises KeyError for an unknown placeholder."""
    seconds = max(1, round(window.total_seconds()))
    return Template(expression).substitute(
        namespace=namespace, service=service, colour=colour, window=f"{seconds}s"
    )


def increase(points: Sequence[Point], start: datetime, end: datetime) -> float:
    """How much a counter grew in `start..end`. A fall is a restart from 0. A series that first appears
    inside the range started at 0; missed scrapes lose nothing, since the counter went on counting.
    """
    before = [p for p in points if p.at <= start]
    last = before[-1].value if before else 0.0
    grown = 0.0
    for point in points:
        if not start < point.at <= end:
            continue
        grown += point.value - last if point.value >= last else point.value
        last = point.value
    return grown


def judge(
    trigger: Trigger,
    values: Sequence[Point],
    counts: Sequence[Point],
    *,
    begin: datetime,
    since: datetime,
    now: datetime,
) -> Verdict:
    """The verdict on points, oldest first. `since` is when the step began: where the trigger's own window
    holds too few events, all of the step counts. `begin` is when this release first got traffic: what the
    colour did before was another release's."""
    if not counts:
        return _verdict(trigger, Outcome.NO_DATA, "the metrics hold no requests of this colour")
    window_start = max(now - trigger.sustained, begin)
    samples = round(increase(counts, window_start, now))
    if samples < trigger.minimum_samples and not trigger.at_once and since < window_start:
        window_start = max(since, begin)
        samples = round(increase(counts, window_start, now))
    if samples < trigger.minimum_samples:
        why = f"{samples} of at least {trigger.minimum_samples} requests"
        return _verdict(trigger, Outcome.INSUFFICIENT, why, samples=samples)
    if trigger.kind is Kind.RATIO:
        return _judge_ratio(trigger, values, counts, samples, window_start, now)
    return _judge_level(trigger, values, samples, window_start, begin, now)


def _judge_ratio(
    trigger: Trigger,
    values: Sequence[Point],
    counts: Sequence[Point],
    samples: int,
    start: datetime,
    now: datetime,
) -> Verdict:
    bad = min(samples, round(increase(values, start, now)))
    ratio = bad / samples
    text = f"{bad} of {samples} requests ({ratio:.1%}; limit {trigger.threshold:.1%})"
    if trigger.at_once:
        outcome = Outcome.BREACH if ratio >= trigger.threshold else Outcome.PASS
    elif ratio <= trigger.threshold:
        outcome = Outcome.PASS
    elif binomial_tail(bad, samples, trigger.threshold) > BAD_LUCK:
        outcome = Outcome.PENDING
    else:
        lasting = (
            now - start >= trigger.sustained
            and _covered(counts, start)
            and _each_half_breaches(trigger, values, counts, start, now)
        )
        outcome = Outcome.BREACH if lasting else Outcome.PENDING
    return _verdict(trigger, outcome, text, ratio, samples)


def _each_half_breaches(
    trigger: Trigger, values: Sequence[Point], counts: Sequence[Point], start: datetime, now: datetime
) -> bool:
    middle = start + (now - start) / 2
    return all(
        increase(values, a, b) > trigger.threshold * increase(counts, a, b)
        for a, b in ((start, middle), (middle, now))
    )


def _judge_level(
    trigger: Trigger,
    values: Sequence[Point],
    samples: int,
    window_start: datetime,
    begin: datetime,
    now: datetime,
) -> Verdict:
    """A quantile of no requests has no value: where the sample is all of the step's, so are the values."""
    start = now - trigger.sustained
    known = [p for p in values if p.at >= min(start, window_start)]
    inside = [p for p in known if p.at >= start]
    if not known:
        return _verdict(trigger, Outcome.NO_DATA, "it has no value in the window", samples=samples)
    latest = known[-1].value
    text = f"{latest:g} (limit {trigger.threshold:g}, {samples} requests)"
    if latest <= trigger.threshold:
        return _verdict(trigger, Outcome.PASS, text, latest, samples)
    lasting = (
        start >= begin
        and bool(inside)
        and _covered(values, start)
        and all(p.value > trigger.threshold for p in inside)
    )
    return _verdict(trigger, Outcome.BREACH if lasting else Outcome.PENDING, text, latest, samples)


def _covered(points: Sequence[Point], start: datetime) -> bool:
    """Whether data reach back to `start`, give or take one scrape of the range's own spacing."""
    if len(points) < 2:
        return False
    spacing = min(b.at - a.at for a, b in pairwise(points))
    return points[0].at <= start + spacing


def _verdict(
    trigger: Trigger, outcome: Outcome, why: str, value: float | None = None, samples: int = 0
) -> Verdict:
    return Verdict(trigger.name, outcome, f"{trigger.name}: {why}", value, samples, trigger.on_no_data)


def unavailable(trigger: Trigger, why: str) -> Verdict:
    return _verdict(trigger, Outcome.UNAVAILABLE, why)


def binomial_tail(bad: int, total: int, share: float) -> float:
    """P(X >= bad) for X ~ Binomial(total, share). Terms above the mean fall; tiny ones end the sum."""
    if bad <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    summed = 0.0
    log_p, log_q = math.log(share), math.log1p(-share)
    for k in range(bad, total + 1):
        log_term = math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        term = math.exp(log_term + k * log_p + (total - k) * log_q)
        summed += term
        if k > total * share and term < summed * 1e-9:
            break
    return min(1.0, summed)


_REQUESTS = 'sum(envoy_cluster_upstream_rq{envoy_cluster_name=~"$namespace/$service-$colour/.*"})'
_ERRORS = (
    'sum(envoy_cluster_upstream_rq{envoy_cluster_name=~"$namespace/$service-$colour/.*",'
    'envoy_response_code=~"5.."}) or ' + _REQUESTS + " * 0"
)
_P95 = (
    "histogram_quantile(0.95, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket"
    '{envoy_cluster_name=~"$namespace/$service-$colour/.*"}[$window]))) / 1000'
)


def default_triggers() -> tuple[Trigger, ...]:
    """Error rate > 1 % for 2 min and p95 > 5 s for 3 min, as the user states; fast burn for total failure."""
    return (
        Trigger("error-rate", Kind.RATIO, _ERRORS, _REQUESTS, 0.01, timedelta(minutes=2), 100),
        Trigger("latency-p95", Kind.LEVEL, _P95, _REQUESTS, 5.0, timedelta(minutes=3), 20),
        fast_burn(),
    )


def fast_burn() -> Trigger:
    """Total failure: at least half of at least 50 requests within 15 s."""
    window = timedelta(seconds=15)
    return Trigger("fast-burn", Kind.RATIO, _ERRORS, _REQUESTS, 0.5, window, 50, True, OnNoData.IGNORE)


ERRORS, REQUESTS, P95_SECONDS = _ERRORS, _REQUESTS, _P95
