"""Verdicts on what Prometheus answered: counts, not rates of tiny buckets; no data is no pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import MIDNIGHT, seconds

from platform_ops.core.judging import Answers, binomial_tail, judge
from platform_ops.core.ports import Point, Series
from platform_ops.core.triggers import (
    Comparison,
    Kind,
    OnNoData,
    Outcome,
    Sample,
    Trigger,
    Verdict,
    default_triggers,
    promql,
)

NOW = MIDNIGHT + timedelta(minutes=30)
ERROR_RATE, LATENCY, HEALTH, MEMORY, FAST_BURN = default_triggers()
P95 = Trigger("p95", Kind.LEVEL, "quantile", "requests", 5.0, timedelta(minutes=3), 20)
"""A quantile judged as a level, as a service's own trigger may be."""


def series(value: Callable[[float], float], span: float = 600.0, every: float = 5.0) -> tuple[Point, ...]:
    """Points from `span` seconds ago until now; `value` gets the seconds until now."""
    ages = [span - n * every for n in range(int(span / every) + 1)]
    return tuple(Point(NOW - seconds(age), value(age)) for age in ages)


def counter(per_second: float, span: float = 600.0, until: float = 0.0) -> tuple[Point, ...]:
    """A counter that grew evenly, and stopped `until` seconds ago."""
    return series(lambda age: (span - max(age, until)) * per_second, span)


def verdict(
    trigger: Trigger,
    values: tuple[Point, ...],
    counts: tuple[Point, ...],
    *,
    begin: float = 600.0,
    since: float = 600.0,
    after: float = 0.0,
) -> Verdict:
    """At `after` seconds from now."""
    answers = Answers((Series(values),), (Series(counts),))
    return judge(
        trigger, answers, begin=NOW - seconds(begin), since=NOW - seconds(since), now=NOW + seconds(after)
    )


@pytest.mark.parametrize(
    ("errors", "requests", "expected"),
    [
        pytest.param(counter(0.0), counter(50.0), Outcome.PASS, id="no-errors"),
        pytest.param(counter(0.25), counter(50.0), Outcome.PASS, id="half-the-limit"),
        pytest.param(counter(1.0), counter(50.0), Outcome.BREACH, id="twice-the-limit"),
        pytest.param(counter(50.0), counter(50.0), Outcome.BREACH, id="everything-fails"),
        pytest.param(counter(0.51), counter(50.0), Outcome.PENDING, id="a-hair-over-may-be-bad-luck"),
        pytest.param(
            counter(0.02), counter(1.6), Outcome.PENDING, id="two-errors-at-low-traffic-are-bad-luck"
        ),
        pytest.param(
            counter(0.1), counter(0.5), Outcome.BREACH, id="too-few-in-the-window-but-enough-in-the-step"
        ),
        pytest.param(counter(0.01), counter(0.1), Outcome.INSUFFICIENT, id="too-few-for-any-verdict"),
        pytest.param((), (), Outcome.NO_DATA, id="no-data"),
        pytest.param((), counter(50.0), Outcome.PASS, id="errors-never-counted-are-no-errors"),
    ],
)
def test_error_rate_for_two_minutes(
    errors: tuple[Point, ...], requests: tuple[Point, ...], expected: Outcome
) -> None:
    assert verdict(ERROR_RATE, errors, requests).outcome is expected


@pytest.mark.parametrize("began", range(0, 200, 5))
def test_a_burst_is_not_sustained_wherever_it_lies_in_the_window(began: int) -> None:
    """It lasts 80 s, and half of the requests fail in it."""
    burst = series(lambda age: 25.0 * min(80.0, max(0.0, began - age)), every=1.0)
    requests = series(lambda age: 50.0 * (600 - age), every=1.0)
    assert not verdict(ERROR_RATE, burst, requests).breached


@pytest.mark.parametrize(("share", "within"), [(0.02, 140), (0.05, 125), (1.0, 120)])
def test_a_steady_breach_is_caught_as_soon_as_it_has_lasted(share: float, within: int) -> None:
    """The fault begins 300 s ago, at 50 requests a second."""
    errors = series(lambda age: 50.0 * share * max(0.0, 300 - age), every=1.0)
    requests = series(lambda age: 50.0 * (600 - age), every=1.0)
    caught = [age for age in range(300, 0, -1) if verdict(ERROR_RATE, errors, requests, after=-age).breached]
    assert 100 < 300 - caught[0] <= within


def test_scrapes_further_apart_than_a_quarter_of_the_window_still_show_a_breach() -> None:
    probes = series(lambda age: (600 - age) // 30 * 18.0)
    failed = series(lambda age: (600 - age) // 30 * 12.0)
    assert verdict(HEALTH, failed, probes).outcome is Outcome.BREACH


def test_a_little_traffic_after_the_promotion_is_judged_over_a_longer_window() -> None:
    """Half a request a second: 2 min hold 60 of the 100 that a verdict needs."""
    requests = counter(0.5)
    assert verdict(ERROR_RATE, requests, requests, since=600.0).outcome is Outcome.BREACH
    assert verdict(ERROR_RATE, requests, requests, since=0.0).outcome is Outcome.INSUFFICIENT


def test_a_breach_needs_the_whole_window_of_this_release() -> None:
    started = verdict(ERROR_RATE, counter(5.0), counter(50.0), begin=60.0, since=60.0)
    assert started.outcome is Outcome.PENDING


def test_what_the_colour_did_for_another_release_does_not_count() -> None:
    before = counter(50.0, until=100.0)
    requests = counter(50.0)
    assert verdict(ERROR_RATE, before, requests, begin=90.0, since=90.0).outcome is Outcome.PASS
    assert (
        verdict(FAST_BURN, counter(50.0, until=12.0), requests, begin=10.0, since=10.0).outcome
        is Outcome.PASS
    )


def test_fast_burn_fires_as_soon_as_its_count_is_there() -> None:
    errors = series(lambda age: 60.0 if age <= 5 else 0.0)
    requests = series(lambda age: 100.0 if age <= 5 else 0.0)
    assert verdict(FAST_BURN, errors, requests, begin=8.0, since=8.0).outcome is Outcome.BREACH
    few = verdict(FAST_BURN, counter(3.0), counter(3.0))
    assert few.outcome is Outcome.INSUFFICIENT
    assert not few.holds_step


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(series(lambda _: 0.2), Outcome.PASS, id="fast"),
        pytest.param(series(lambda _: 9.0), Outcome.BREACH, id="slow-all-the-time"),
        pytest.param(series(lambda age: 9.0 if age < 60 else 0.2), Outcome.PENDING, id="slow-for-a-minute"),
        pytest.param(series(lambda age: 0.2 if age < 60 else 9.0), Outcome.PASS, id="fast-again"),
        pytest.param(series(lambda _: 9.0, span=60.0), Outcome.PENDING, id="not-observed-for-long-enough"),
        pytest.param((), Outcome.NO_DATA, id="no-value"),
    ],
)
def test_p95_for_three_minutes(values: tuple[Point, ...], expected: Outcome) -> None:
    assert verdict(P95, values, counter(50.0)).outcome is expected


def test_a_quiet_moment_does_not_undo_what_the_step_has_shown() -> None:
    """Enough requests in this step, but none in the last three minutes: the quantile has no value."""
    early = tuple(p for p in series(lambda _: 0.2) if p.at <= NOW - seconds(300))
    requests = counter(1.0, until=300.0)
    assert verdict(P95, early, requests).outcome is Outcome.PASS


@pytest.mark.parametrize("trigger", [ERROR_RATE, LATENCY, HEALTH, MEMORY, P95], ids=lambda one: one.name)
def test_figures_that_end_before_the_window_are_none(trigger: Trigger) -> None:
    """They held enough of a good release; of the present one nobody knows."""
    window = trigger.sustained.total_seconds()
    counts = counter(50.0) if trigger.sample is Sample.INCREASE else series(lambda _: 24.0)
    good = series(lambda _: 0.0)
    assert verdict(trigger, good, counts, after=window).outcome is Outcome.PASS
    late = verdict(trigger, good, counts, after=window + 1)
    assert late.outcome is Outcome.NO_DATA
    assert late.holds_step
    assert "of 00:30:00 UTC: look at the scrapes" in late.why


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_is_left_out_of_counts(odd: float) -> None:
    """A division by nothing must not stop the one who drives the rollout."""

    def spoilt(points: tuple[Point, ...], every: int) -> tuple[Point, ...]:
        return tuple(replace(p, value=odd) if n % every == 0 else p for n, p in enumerate(points))

    requests = spoilt(counter(50.0), 7)
    assert verdict(ERROR_RATE, spoilt(counter(1.0), 5), requests).outcome is Outcome.BREACH
    assert verdict(ERROR_RATE, spoilt(counter(0.0), 5), requests).outcome is Outcome.PASS
    assert verdict(ERROR_RATE, counter(0.0), spoilt(requests, 1)).outcome is Outcome.INSUFFICIENT
    assert verdict(MEMORY, series(lambda _: 0.4), series(lambda _: odd)).outcome is Outcome.INSUFFICIENT


def test_a_level_without_any_bound_is_over_its_limit() -> None:
    scrapes = series(lambda _: 24.0)
    assert verdict(MEMORY, series(lambda _: math.inf), scrapes).outcome is Outcome.BREACH


def test_without_enough_requests_a_quantile_says_nothing() -> None:
    assert verdict(P95, series(lambda _: 9.0), counter(0.01)).outcome is Outcome.INSUFFICIENT


@pytest.mark.parametrize(
    ("slow", "expected"),
    [
        pytest.param(counter(1.0), Outcome.PASS, id="two-of-a-hundred-are-slow"),
        pytest.param(counter(2.6), Outcome.PENDING, id="a-hair-over-may-be-bad-luck"),
        pytest.param(counter(10.0), Outcome.BREACH, id="every-fifth-is-slow"),
        pytest.param((), Outcome.PASS, id="none-was-ever-slow"),
    ],
)
def test_p95_over_5_s_means_that_more_than_5_percent_take_longer(
    slow: tuple[Point, ...], expected: Outcome
) -> None:
    assert verdict(LATENCY, slow, counter(50.0)).outcome is expected


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        pytest.param(0.0, Outcome.PASS, id="none-fails"),
        pytest.param(0.5, Outcome.PASS, id="exactly-half"),
        pytest.param(2 / 3, Outcome.BREACH, id="two-pods-of-three-all-the-time"),
        pytest.param(1.0, Outcome.BREACH, id="all"),
    ],
)
def test_health_checks_for_one_minute(failed: float, expected: Outcome) -> None:
    """Probes of one pod fail together: three pods at a probe each 10 s are enough, however few that is."""
    probes = series(lambda age: (600 - age) // 10 * 3.0)
    bad = series(lambda age: (600 - age) // 10 * 3.0 * failed)
    assert verdict(HEALTH, bad, probes).outcome is expected


class TestMemory:
    SCRAPES = (Series(series(lambda _: 24.0)),)

    def judged(self, *pods: tuple[Point, ...], scrapes: tuple[Series, ...] = SCRAPES) -> Outcome:
        values = tuple(Series(points, {"pod": f"pod-{n}"}) for n, points in enumerate(pods))
        answers = Answers(values, scrapes)
        ago = NOW - seconds(600)
        return judge(MEMORY, answers, begin=ago, since=ago, now=NOW).outcome

    def test_one_container_over_the_limit_for_two_minutes_is_a_breach(self) -> None:
        low, high = series(lambda _: 0.4), series(lambda _: 0.97)
        assert self.judged(low, low) is Outcome.PASS
        assert self.judged(low, high) is Outcome.BREACH

    def test_less_than_two_minutes_is_none(self) -> None:
        assert self.judged(series(lambda age: 0.97 if age < 100 else 0.4)) is Outcome.PENDING
        assert self.judged(series(lambda _: 0.97, span=60)) is Outcome.PENDING

    def test_a_pod_that_is_gone_says_nothing_any_more(self) -> None:
        gone = tuple(p for p in series(lambda _: 0.99) if p.at < NOW - seconds(10))
        assert self.judged(gone, series(lambda _: 0.4)) is Outcome.PASS

    def test_no_scrape_is_no_pass(self) -> None:
        assert self.judged(series(lambda _: 0.4), scrapes=()) is Outcome.NO_DATA
        few = (Series(series(lambda _: 2.0)),)
        assert self.judged(series(lambda _: 0.4), scrapes=few) is Outcome.INSUFFICIENT


@pytest.mark.parametrize(
    ("served", "expected"),
    [(counter(49.9), Outcome.PASS), (counter(45.0), Outcome.BREACH), (counter(49.4), Outcome.PENDING)],
)
def test_a_ratio_may_breach_below_its_threshold(served: tuple[Point, ...], expected: Outcome) -> None:
    availability = Trigger(
        "availability", Kind.RATIO, "ok", "all", 0.99, timedelta(minutes=2), 100, comparison=Comparison.BELOW
    )
    assert verdict(availability, served, counter(50.0)).outcome is expected


def test_a_level_may_breach_below_its_threshold() -> None:
    free = replace(MEMORY, comparison=Comparison.BELOW, threshold=0.1, sample=Sample.VALUE)
    scrapes = series(lambda _: 9.0)
    assert verdict(free, series(lambda _: 0.05), scrapes).outcome is Outcome.BREACH
    assert verdict(free, series(lambda _: 0.5), scrapes).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("outcome", "on_no_data", "holds"),
    [
        (Outcome.PASS, OnNoData.WAIT, False),
        (Outcome.NO_DATA, OnNoData.WAIT, True),
        (Outcome.INSUFFICIENT, OnNoData.WAIT, True),
        (Outcome.INSUFFICIENT, OnNoData.IGNORE, False),
        (Outcome.NO_DATA, OnNoData.IGNORE, False),
        (Outcome.UNAVAILABLE, OnNoData.IGNORE, True),
        (Outcome.PENDING, OnNoData.IGNORE, True),
    ],
)
def test_only_a_pass_lets_a_step_end(outcome: Outcome, on_no_data: OnNoData, holds: bool) -> None:
    assert Verdict("t", outcome, "", on_no_data=on_no_data).holds_step is holds


@pytest.mark.parametrize(
    ("bad", "total", "share", "expected"),
    [
        (0, 10, 0.5, 1.0),
        (1, 1, 0.01, 0.01),
        (10, 10, 0.5, 0.5**10),
        (5, 10, 0.5, 0.623046875),
        (3, 9, 0.0, 0.0),
    ],
)
def test_binomial_tail_is_exact(bad: int, total: int, share: float, expected: float) -> None:
    assert binomial_tail(bad, total, share) == pytest.approx(expected)


def test_binomial_tail_of_many_requests_is_finite() -> None:
    assert 0.0 < binomial_tail(700, 60_000, 0.01) < 1e-3


def test_the_queries_name_the_gateways_counters_of_one_colour() -> None:
    assert (
        promql(
            ERROR_RATE.count,
            namespace="llm-service-prod",
            service="llm-service",
            colour="green",
            window=seconds(120),
        )
        == 'envoy_cluster_upstream_rq{envoy_cluster_name=~"llm-service-prod/llm-service-green/.*"}'
    )
    assert "[120s]" in promql(
        MEMORY.count, namespace="n", service="s", colour="blue", window=MEMORY.sustained
    )


def test_an_unknown_placeholder_is_named() -> None:
    with pytest.raises(KeyError, match="color"):
        promql("up{c='$color'}", namespace="n", service="s", colour="blue", window=seconds(1))


def test_the_defaults_are_the_users_numbers() -> None:
    assert (ERROR_RATE.threshold, ERROR_RATE.sustained) == (0.01, timedelta(minutes=2))
    assert 'le=~"5000' in LATENCY.expression
    assert (LATENCY.threshold, LATENCY.sustained) == (0.05, timedelta(minutes=3))
    assert (HEALTH.threshold, HEALTH.sustained) == (0.5, timedelta(minutes=1))
    assert (MEMORY.threshold, MEMORY.sustained) == (0.95, timedelta(minutes=2))
    assert (FAST_BURN.threshold, FAST_BURN.minimum_samples, FAST_BURN.sustained) == (0.5, 50, seconds(15))


def test_a_ratio_without_at_once_never_breaches_at_the_threshold() -> None:
    exact = replace(ERROR_RATE, kind=Kind.RATIO, threshold=0.02)
    assert verdict(exact, counter(1.0), counter(50.0)).outcome is Outcome.PASS
