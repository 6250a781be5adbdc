"""Waiting times that double: restarts of containers and pulls of images."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 10.0
LONGEST = 300.0


@dataclass
class Backoff:
    """The kubelet's rule: the first retry is free, then 10 s, 20 s … 300 s after each failure, in seconds.

    Ten quiet minutes start it over.
    """

    delay: float = 0.0
    since: float = 0.0

    @classmethod
    def after(cls, restarts: int, now: float) -> Backoff:
        """What the waiting time was after so many restarts, for a node that has just come back."""
        return cls(min(FIRST * 2 ** (restarts - 1), LONGEST), now) if restarts else cls()

    def remaining(self, failed_at: float, now: float) -> float:
        """Seconds still to wait after a failure at `failed_at`."""
        if self.delay == 0 or failed_at - self.since > 2 * LONGEST:
            return 0.0
        return max(0.0, failed_at + self.delay - now)

    def retry(self, failed_at: float, now: float) -> None:
        """A retry begins now."""
        if self.delay == 0 or failed_at - self.since > 2 * LONGEST:
            self.delay = FIRST
        else:
            self.delay = min(self.delay * 2, LONGEST)
        self.since = now
