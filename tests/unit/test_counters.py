"""Growth of counters: processes come, go and start again, scrapes are missed; the count stays right."""

from __future__ import annotations

from datetime import timedelta

from fakes import MIDNIGHT, seconds
from hypothesis import given
from hypothesis import strategies as st

from platform_ops.core.counters import Counters
from platform_ops.core.ports import Point, Series

HOUR = timedelta(hours=1)


def series(*values: float | None, first: int = 0, **labels: str) -> Series:
    """A value each second from `first` on; None: a missed scrape."""
    points = (Point(MIDNIGHT + seconds(first + n), v) for n, v in enumerate(values) if v is not None)
    return Series(tuple(points), labels)


def grown(*of: Series, start: float = 0, end: float = 3600) -> float:
    return Counters(of).grown(MIDNIGHT + seconds(start), MIDNIGHT + seconds(end))


def test_a_restarted_counter_goes_on_from_zero() -> None:
    assert grown(series(100, 150, 20, 60)) == 50 + 20 + 40


def test_missed_scrapes_lose_nothing() -> None:
    assert grown(series(0, 10, None, None, 40, 50)) == grown(series(0, 10, 20, 30, 40, 50)) == 50


def test_what_came_before_the_range_does_not_count() -> None:
    assert grown(series(0, 10, 20, 30), start=1) == 20
    assert grown(series(0, 10, 20, 30), start=1, end=2) == 10


def test_a_gateway_that_vanishes_takes_nothing_away_and_brings_nothing_back() -> None:
    """A sum of the two would fall from 200,002 to 101, and then rise by 100,000 that nobody sent."""
    stays = series(100, 101, 102, 103, 104, job="gateway", instance="one")
    goes = series(100_000, 100_001, None, None, 100_004, job="gateway", instance="two")
    assert grown(stays, goes) == 4 + 4
    assert grown(stays, goes, start=1, end=3) == 2


def test_the_first_answer_with_a_status_counts_in_full() -> None:
    fine = series(10, 20, 30, 40, job="gateway", instance="one", code="200")
    failed = series(7, 9, first=2, job="gateway", instance="one", code="500")
    assert grown(fine, failed) == 30 + 9


def test_a_target_that_nobody_saw_before_counts_from_its_first_scrape() -> None:
    """The metrics were away, or a gateway is only now found: its past is not this window's."""
    assert grown(series(50_000, 50_003, first=100)) == 3
    known = series(10, 20, 30, job="gateway", instance="one")
    found = series(9_000, 9_001, first=1, job="gateway", instance="two")
    assert grown(known, found) == 20 + 1


def test_no_series_is_no_growth() -> None:
    assert not Counters(())
    assert grown() == 0


def test_the_shortest_span_that_holds_enough() -> None:
    counters = Counters((series(*range(0, 1000, 10)),))
    end = MIDNIGHT + seconds(99)
    start = counters.latest_start(100, end, MIDNIGHT)
    assert start == MIDNIGHT + seconds(89)
    assert counters.latest_start(100_000, end, MIDNIGHT) == MIDNIGHT


lives = st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=6), min_size=1, max_size=4)
"""Of one counter: its growth a second in each of its lives."""


@given(pods=st.lists(lives, min_size=1, max_size=4), missed=st.sets(st.integers(1, 30)))
def test_whatever_restarts_and_vanishes_the_growth_is_between_what_was_seen_and_what_was_sent(
    pods: list[list[list[int]]], missed: set[int]
) -> None:
    made, sent = [], 0
    for number, of_pod in enumerate(pods):
        values: list[float | None] = [0.0]
        for life in of_pod:
            value = 0.0 if len(values) > 1 else values[0] or 0.0
            for step in life:
                value += step
                sent += step
                values.append(value if len(values) not in missed else None)
        made.append(series(*values, job="gateway", instance=str(number)))
    counted = grown(*made)
    assert 0 <= counted <= sent
    if not missed and all(len(of_pod) == 1 for of_pod in pods):
        assert counted == sent
    halves = grown(*made, end=5) + grown(*made, start=5)
    assert halves == counted
