"""Growing pauses between tries: what refuses for good is not asked every few seconds."""

from __future__ import annotations

from datetime import datetime, timedelta

from platform_ops.core.ports import Clock

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(seconds=60)


class Pauses:
    """One for each key, doubled by each failure; only in this process, so that a restart tries at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[datetime, timedelta]] = {}
        """Key → not before, and the pause after the next failure."""

    def over(self, key: str) -> bool:
        """Whether it may be tried now."""
        return key not in self._kept or self._clock.now() >= self._kept[key][0]

    def failed(self, key: str) -> None:
        _, pause = self._kept.get(key, (None, FIRST_PAUSE))
        self._kept[key] = (self._clock.now() + pause, min(pause * 2, LONGEST_PAUSE))

    def succeeded(self, key: str) -> None:
        self._kept.pop(key, None)
