"""Freeze windows in wall time, over the days when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ops.core.freeze import Moment, Window, closed

BERLIN = ZoneInfo("Europe/Berlin")
"""Forward on 2026-03-29 from 02:00 to 03:00, back on 2026-10-25 from 03:00 to 02:00."""
SYDNEY = ZoneInfo("Australia/Sydney")


def window(begins: str, ends: str, zone: ZoneInfo = BERLIN) -> Window:
    return Window("quiet", Moment.parse(begins), Moment.parse(ends), zone, "why not")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("begins", "ends", "zone", "first", "end"),
    [
        ("2026-12-20 18:00", "2027-01-04 08:00", BERLIN, "2026-12-20 17:00", "2027-01-04 07:00"),
        ("2026-07-01 00:00", "2026-07-02 00:00", BERLIN, "2026-06-30 22:00", "2026-07-01 22:00"),
        # 02:30 does not exist: the window begins at the earlier, ends at the later of what it may mean.
        ("2026-03-29 02:30", "2026-03-30 00:00", BERLIN, "2026-03-29 00:30", "2026-03-29 22:00"),
        ("2026-03-28 00:00", "2026-03-29 02:30", BERLIN, "2026-03-27 23:00", "2026-03-29 01:30"),
        # 02:30 is there twice.
        ("2026-10-25 02:30", "2026-10-26 00:00", BERLIN, "2026-10-25 00:30", "2026-10-25 23:00"),
        ("2026-10-24 00:00", "2026-10-25 02:30", BERLIN, "2026-10-23 22:00", "2026-10-25 01:30"),
        # Every week, over the end of a week and over a change of the clocks.
        ("Fri 16:00", "Mon 08:00", BERLIN, "2026-10-23 14:00", "2026-10-26 07:00"),
        ("Fri 16:00", "Mon 08:00", BERLIN, "2026-03-27 15:00", "2026-03-30 06:00"),
        ("Sun 22:00", "Mon 02:00", SYDNEY, "2026-11-29 11:00", "2026-11-29 15:00"),
        ("Tue 09:00", "Tue 10:00", BERLIN, "2026-11-24 08:00", "2026-11-24 09:00"),
    ],
)
def test_a_window_holds_its_first_instant_and_not_its_end(
    begins: str, ends: str, zone: ZoneInfo, first: str, end: str
) -> None:
    quiet, second = window(begins, ends, zone), timedelta(seconds=1)
    assert quiet.closed_until(utc(first) - second) is None
    assert quiet.closed_until(utc(first)) == utc(end)
    assert quiet.closed_until(utc(end) - second) == utc(end)
    assert quiet.closed_until(utc(end)) is None


instants = st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))
weekly = st.builds(
    "{} {:02}:{:02}".format,
    st.sampled_from(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
    st.integers(0, 23),
    st.integers(0, 59),
)


@given(weekly, weekly, instants)
def test_a_weekly_window_and_the_rest_of_the_week_leave_no_instant_out(
    begins: str, ends: str, now: datetime
) -> None:
    if begins == ends:
        with pytest.raises(ValueError, match="same moment"):
            window(begins, ends)
        return
    parts = [window(begins, ends), window(ends, begins)]
    assert closed(parts, now)


@given(weekly, weekly, instants)
def test_a_weekly_window_ends_within_a_week_and_an_hour(begins: str, ends: str, now: datetime) -> None:
    if begins != ends and (until := window(begins, ends).closed_until(now)) is not None:
        assert timedelta(0) < until - now <= timedelta(days=7, hours=1)


def test_the_sentence_names_window_reason_and_end_in_its_own_time() -> None:
    (words,) = closed([window("Fri 16:00", "Mon 08:00")], utc("2026-11-28 12:00"))
    assert words == "freeze window quiet (why not) until 2026-11-30 08:00 Europe/Berlin"


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [
        (
            "Freitag 16:00",
            "Mon 08:00",
            "neither a date and time, as 2026-12-20 18:00, nor weekly, as Fri 16:00",
        ),
        ("2026-02-30 10:00", "2026-03-01 10:00", "day"),
        ("Fri 25:00", "Mon 08:00", "hour must be in"),
        ("Fri 16:00", "2026-12-01 08:00", "must both be"),
        ("2026-12-02 08:00", "2026-12-01 08:00", "ends before it begins"),
    ],
)
def test_what_is_no_window_says_so(begins: str, ends: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        window(begins, ends)
