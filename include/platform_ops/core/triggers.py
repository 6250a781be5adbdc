"""Rollback triggers as data. `core.judging` says what an answer of the metrics means to one.

A trigger judges the *new* colour. Errors and answer times are the gateway's counters, since a dead pod
exports
nothing; probes are the kubelet's (`prober_probe_total`), memory is cAdvisor's. No query adds counters up:
which series vanished must stay visible (`core.counters`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from string import Template


class Kind(StrEnum):
    RATIO = "ratio"
    """`expression` and `count` are counters: bad events, and all events."""
    LEVEL = "level"
    """`expression` is a value, of each pod or of the colour; every point of the window must breach."""


class Comparison(StrEnum):
    ABOVE = "above"
    BELOW = "below"


class Sample(StrEnum):
    """How many events a verdict stands on."""

    INCREASE = "increase"
    """`count` is a counter; its growth in the window."""
    VALUE = "value"
    """`count` is that number itself, added over its series (scrapes, pods)."""


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
    """RATIO: the counters of bad events. LEVEL: the value in the threshold's unit."""
    count: str
    """The counters of all events of the colour, or with `Sample.VALUE` the number of samples itself."""
    threshold: float
    """RATIO: a share (0.01 is 1 %). A breach is above (below) it; with `at_once`, at it, too."""
    sustained: timedelta
    minimum_samples: int
    at_once: bool = False
    on_no_data: OnNoData = OnNoData.WAIT
    comparison: Comparison = Comparison.ABOVE
    sample: Sample = Sample.INCREASE
    independent: bool = True
    """Events fail independently of each other, so that bad luck must be ruled out."""
    events: str = "requests"
    defect: str = "failed"
    """Words of the verdict: 3 of 400 `events` `defect`."""


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


@lru_cache(maxsize=4096)
def promql(expression: str, *, namespace: str, service: str, colour: str, window: timedelta) -> str:
    """The expression with its placeholders filled in. Raises KeyError for an unknown placeholder."""
    seconds = max(1, round(window.total_seconds()))
    return Template(expression).substitute(
        namespace=namespace, service=service, colour=colour, window=f"{seconds}s"
    )


def condition(trigger: Trigger) -> str:
    """What breaches it, in words: `more than 1 % of the requests failed`."""
    below = trigger.comparison is Comparison.BELOW
    if trigger.kind is Kind.LEVEL:
        side = "below" if below else "above"
        return f"{trigger.name} {side} {trigger.threshold:g} in all samples of one series"
    side = (
        ("at most" if below else "at least") if trigger.at_once else ("less than" if below else "more than")
    )
    return f"{side} {100 * trigger.threshold:g} % of the {trigger.events} {trigger.defect}"


_COLOUR = 'envoy_cluster_name=~"$namespace/$service-$colour/.*"'
REQUESTS = f"envoy_cluster_upstream_rq{{{_COLOUR}}}"
ERRORS = f'envoy_cluster_upstream_rq{{{_COLOUR},envoy_response_code=~"5.."}}'
TIMED = f"envoy_cluster_upstream_rq_time_count{{{_COLOUR}}}"
P95_SECONDS = (
    "histogram_quantile(0.95, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket"
    f"{{{_COLOUR}}}[$window]))) / 1000"
)
"""For people to look at (`ops watch`); the trigger counts slow requests instead."""

SLOW_SHARE = 0.05
"""The 95th percentile is above a limit exactly when more than this share of the requests took longer."""

ENVOY_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds at which the gateway counts; a limit between two could only be guessed."""

_POD = 'namespace="$namespace",pod=~"$service-$colour-[a-z0-9]+-[a-z0-9]+"'
PROBES = f'prober_probe_total{{{_POD},probe_type=~"Readiness|Liveness"}}'
FAILED_PROBES = f'prober_probe_total{{{_POD},probe_type=~"Readiness|Liveness",result="failed"}}'
_CONTAINER = f'{_POD},container!="",container!="POD"'
_MEMORY = f"container_memory_working_set_bytes{{{_CONTAINER}}}"
_MEMORY_LIMIT = f"container_spec_memory_limit_bytes{{{_CONTAINER}}}"
MEMORY = f"max by (pod, container) ({_MEMORY} / ({_MEMORY_LIMIT} > 0))"
MEMORY_SCRAPES = f"max by (pod, container) (count_over_time({_MEMORY}[$window]))"


def slower_than(limit: float) -> str:
    """The counter of requests that took longer than `limit` seconds, one of ENVOY_BUCKETS."""
    bound = rf"{limit * 1000:g}(\\.0)?"
    bucket = f'envoy_cluster_upstream_rq_time_bucket{{{_COLOUR},le=~"{bound}"}}'
    return f"{TIMED} - ignoring(le) {bucket}"


def error_rate() -> Trigger:
    """Error rate > 1 % for 2 min, as the user states."""
    return Trigger("error-rate", Kind.RATIO, ERRORS, REQUESTS, 0.01, timedelta(minutes=2), 100)


def latency(limit: float = 5.0) -> Trigger:
    """p95 > 5 s for 3 min, as the user states: more than 5 % of the requests took longer."""
    return Trigger(
        "latency-p95",
        Kind.RATIO,
        slower_than(limit),
        TIMED,
        SLOW_SHARE,
        timedelta(minutes=3),
        20,
        defect=f"took longer than {limit:g} s",
    )


def fast_burn() -> Trigger:
    """Total failure: at least half of at least 50 requests within 15 s."""
    window = timedelta(seconds=15)
    return Trigger("fast-burn", Kind.RATIO, ERRORS, REQUESTS, 0.5, window, 50, True, OnNoData.IGNORE)


def health_checks() -> Trigger:
    """Health checks failing > 50 % for 1 min, as the user states: readiness and liveness probes."""
    return Trigger(
        "health-checks",
        Kind.RATIO,
        FAILED_PROBES,
        PROBES,
        0.5,
        timedelta(minutes=1),
        4,
        independent=False,
        events="health checks",
    )


def memory() -> Trigger:
    """Memory > 95 % of its limit for 2 min, as the user states, in any container of the colour."""
    return Trigger(
        "memory",
        Kind.LEVEL,
        MEMORY,
        MEMORY_SCRAPES,
        0.95,
        timedelta(minutes=2),
        4,
        sample=Sample.VALUE,
        events="scrapes",
    )


def default_triggers() -> tuple[Trigger, ...]:
    """The user's rules with their numbers, and fast burn for total failure. The fifth of the user's, a failed
    deployment, is no metric: `core.rollout` decides it from what the cluster shows."""
    return error_rate(), latency(), health_checks(), memory(), fast_burn()
