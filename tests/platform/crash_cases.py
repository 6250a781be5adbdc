"""The rows of the crash matrix: where a holder stands, what is hit just then, and what it was rolling out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from releasing import Defect


class Victim(StrEnum):
    """What is hit. All but `holder` and `everything` find the holder stopped; then it goes on."""

    HOLDER = "holder"
    """SIGKILL: the standby takes over when the lease has run out."""
    FROZEN = "frozen holder"
    """Stopped until the standby has taken over; it wakes up stale and must be fenced."""
    STANDBY = "standby"
    GATEWAY = "gateway"
    API_SERVER = "API server"
    POSTGRESQL = "PostgreSQL"
    EVERYTHING = "everything"
    """SIGKILL to the holder and every part of the platform, at once."""


@dataclass(frozen=True)
class Point:
    """The `nth` visit of a label of the crash port."""

    label: str
    nth: int
    what: str
    """In words, for the page."""


@dataclass(frozen=True)
class Case:
    point: Point
    victim: Victim
    defect: Defect | None
    """None: a release without a fault."""

    @property
    def release(self) -> str:
        return "bad" if self.defect else "healthy"

    @property
    def id(self) -> str:
        words = f"{self.release} {self.victim} {self.point.label} {self.point.nth}"
        return words.replace(" ", "-").replace(":", "-")


def _around(act: str, nth: int, what: str) -> Iterator[Point]:
    """Before the effect, between effect and outcome, after the outcome."""
    yield Point(f"after-intent:{act}", nth, f"intended: {what}")
    yield Point(f"after-effect:{act}", nth, f"done, not yet recorded: {what}")
    yield Point(f"after-outcome:{act}", nth, f"recorded: {what}")


HEALTHY = (
    *_around("Deploy", 1, "the preview is deployed"),
    *_around("Verify", 1, "the preview is checked"),
    *_around("Shift", 1, "a quarter of the traffic moves"),
    Point("after-outcome:Confirm", 1, "recorded: the first look at real responses"),
    *_around("Shift", 2, "all traffic moves"),
    Point("after-outcome:Enter", 4, "the bake begins"),
    Point("after-outcome:Enter", 5, "the release is promoted"),
)
"""Points on the way of a release that is promoted, with steps 25 and 100."""

BAD = (
    *_around("Shift", 1, "a quarter of the traffic moves"),
    Point("after-outcome:BeginRollback", 1, "the rollback is decided"),
    *_around("Shift", 2, "all traffic goes back"),
    *_around("VerifyOld", 1, "the old version is checked"),
    *_around("RemoveNew", 1, "the new colour is removed"),
    Point("after-outcome:Enter", 3, "the rollback is over"),
)
"""Points on the way of a release that fails for its first users."""

MATRIX = tuple(
    Case(point, victim, defect)
    for defect, points in ((None, HEALTHY), (Defect.FAILS_FOR_USERS, BAD))
    for point in points
    for victim in Victim
)

_SAMPLED = {
    "healthy-holder-after-effect-Shift-1",
    "healthy-frozen-holder-after-intent-Shift-2",
    "bad-PostgreSQL-after-effect-Shift-2",
    "bad-everything-after-outcome-BeginRollback-1",
}
SAMPLE = tuple(case for case in MATRIX if case.id in _SAMPLED)
"""What `make test` runs of it: each kind of death once, at the moments that hurt most."""
assert len(SAMPLE) == len(_SAMPLED)
