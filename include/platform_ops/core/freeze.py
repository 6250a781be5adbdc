"""Freeze windows: when nothing is promoted. They are written in the wall time of a place; that time jumps.

Where a wall time exists twice (clocks go back) a window begins at the earlier and ends at the later of both;
where it does not exist (clocks go forward) it is taken so that the window is never shorter than written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEKLY = re.compile(rf"^({'|'.join(_WEEKDAYS)}) (\d\d):(\d\d)$")
_ONCE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d$")
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Moment:
    """A wall time: on a date, or on a day of every week."""

    weekly: bool
    at: datetime
    """Without a zone; of a weekly moment, in the week of Monday, 2001-01-01."""

    @classmethod
    def parse(cls, text: str) -> Moment:
        """`2026-12-20 18:00` or `Fri 16:00`. ValueError says so."""
        if found := _WEEKLY.match(text):
            day, hour, minute = found.groups()
            try:
                return cls(True, datetime(2001, 1, 1 + _WEEKDAYS.index(day), int(hour), int(minute)))
            except ValueError as wrong:
                raise ValueError(f"{text!r}: {wrong}") from None
        if not _ONCE.match(text):
            raise ValueError(
                f"{text!r} is neither a date and time, as 2026-12-20 18:00, nor weekly, as Fri 16:00"
            )
        return cls(False, datetime.fromisoformat(text))


@dataclass(frozen=True)
class Window:
    """Nothing is promoted from `begins` to before `ends`. Both are of the same kind."""

    name: str
    begins: Moment
    ends: Moment
    zone: tzinfo
    why: str = ""

    def __post_init__(self) -> None:
        if self.begins.weekly != self.ends.weekly:
            raise ValueError("begins and ends must both be dates, or both be days of the week")
        if not self.begins.weekly and self.ends.at <= self.begins.at:
            raise ValueError("it ends before it begins")
        if self.begins == self.ends:
            raise ValueError("it begins and ends in the same moment: write the day after its end")

    def closed_until(self, now: datetime) -> datetime | None:
        """The end of the window that `now` (aware) lies in, in UTC; None outside."""
        for begins, ends in self._spans(now):
            if begins <= now < ends:
                return ends
        return None

    def _spans(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The window as it lies around `now`, in UTC."""
        if not self.begins.weekly:
            yield self._earlier(self.begins.at), self._later(self.ends.at)
            return
        length = (self.ends.at - self.begins.at) % _WEEK
        today = now.astimezone(self.zone).replace(tzinfo=None)
        weeks = (today - self.begins.at) // _WEEK
        for week in (weeks - 1, weeks, weeks + 1):
            begins = self.begins.at + week * _WEEK
            yield self._earlier(begins), self._later(begins + length)

    def _earlier(self, wall: datetime) -> datetime:
        return min(self._both(wall))

    def _later(self, wall: datetime) -> datetime:
        return max(self._both(wall))

    def _both(self, wall: datetime) -> tuple[datetime, datetime]:
        """The instants that a wall time may mean."""
        first, second = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        return first, second


def closed(windows: Iterable[Window], now: datetime) -> tuple[str, ...]:
    """A sentence for each window that `now` lies in."""
    found = ((window, window.closed_until(now)) for window in windows)
    return tuple(_words(window, until) for window, until in found if until is not None)


def _words(window: Window, until: datetime) -> str:
    local = until.astimezone(window.zone)
    why = f" ({window.why})" if window.why else ""
    return f"freeze window {window.name}{why} until {local:%Y-%m-%d %H:%M} {window.zone}"
