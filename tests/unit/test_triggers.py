"""Verdicts on what Prometheus answered: counts, not rates of tiny buckets; no data is no pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import MIDNIGHT, seconds

from platform_ops.core.ports import Point
from platform_ops.core.triggers import (
    Kind,
    OnNoData,
    Outcome,
    Trigger,
    Verdict,
    binomial_tail,
    default_triggers,
    increase,
    judge,
    promql,
)

NOW = MIDNIGHT + timedelta(minutes=30)
ERROR_RATE, LATENCY, FAST_BURN = default_triggers()
LONG_AGO = MIDNIGHT


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
) -> Verdict:
    return judge(trigger, values, counts, begin=NOW - seconds(begin), since=NOW - seconds(since), now=NOW)


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


def test_a_burst_that_is_over_is_not_sustained() -> None:
    burst = series(lambda age: 500.0 if age <= 100 else 0.0)
    assert verdict(ERROR_RATE, burst, counter(50.0)).outcome is Outcome.PENDING


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
    assert verdict(LATENCY, values, counter(50.0)).outcome is expected


def test_a_quiet_moment_does_not_undo_what_the_step_has_shown() -> None:
    """Enough requests in this step, but none in the last three minutes: the quantile has no value."""
    early = tuple(p for p in series(lambda _: 0.2) if p.at <= NOW - seconds(300))
    requests = counter(1.0, until=300.0)
    assert verdict(LATENCY, early, requests).outcome is Outcome.PASS


def test_without_enough_requests_a_quantile_says_nothing() -> None:
    assert verdict(LATENCY, series(lambda _: 9.0), counter(0.01)).outcome is Outcome.INSUFFICIENT


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


class TestIncrease:
    def test_a_restarted_counter_goes_on_from_zero(self) -> None:
        values = (100.0, 150.0, 20.0, 60.0)
        points = tuple(Point(MIDNIGHT + seconds(n), v) for n, v in enumerate(values))
        assert increase(points, MIDNIGHT, MIDNIGHT + seconds(3)) == 50 + 20 + 40

    def test_missed_scrapes_lose_nothing(self) -> None:
        all_points = counter(10.0)
        half = (*all_points[:60], *all_points[100:])
        assert increase(half, NOW - seconds(500), NOW) == increase(all_points, NOW - seconds(500), NOW)

    def test_a_series_that_appears_inside_the_range_began_at_zero(self) -> None:
        points = tuple(Point(NOW - seconds(age), 500.0 - age * 10) for age in (20, 10, 0))
        assert increase(points, NOW - seconds(60), NOW) == 500

    def test_what_came_before_the_range_does_not_count(self) -> None:
        assert increase(counter(10.0), NOW - seconds(100), NOW) == 1000


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
    assert promql(
        ERROR_RATE.count,
        namespace="llm-service-prod",
        service="llm-service",
        colour="green",
        window=seconds(120),
    ) == ('sum(envoy_cluster_upstream_rq{envoy_cluster_name=~"llm-service-prod/llm-service-green/.*"})')
    assert "[180s]" in promql(
        LATENCY.expression, namespace="n", service="s", colour="blue", window=LATENCY.sustained
    )


def test_an_unknown_placeholder_is_named() -> None:
    with pytest.raises(KeyError, match="color"):
        promql("up{c='$color'}", namespace="n", service="s", colour="blue", window=seconds(1))


def test_the_defaults_are_the_users_numbers() -> None:
    assert (ERROR_RATE.threshold, ERROR_RATE.sustained) == (0.01, timedelta(minutes=2))
    assert (LATENCY.threshold, LATENCY.sustained) == (5.0, timedelta(minutes=3))
    assert (FAST_BURN.threshold, FAST_BURN.minimum_samples, FAST_BURN.sustained) == (0.5, 50, seconds(15))


def test_a_ratio_without_at_once_never_breaches_at_the_threshold() -> None:
    exact = replace(ERROR_RATE, kind=Kind.RATIO, threshold=0.02)
    assert verdict(exact, counter(1.0), counter(50.0)).outcome is Outcome.PASS
