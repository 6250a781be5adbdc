"""What lasting exchanges have in common: they are opened, watched while others go out, and closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .comparison import Comparison
from .correspondence import Correspondence
from .recordings import Exchange

OPEN_SECONDS = 15.0
PLAUSIBLE_SECONDS = 2.0


@dataclass(frozen=True)
class Wait:
    """Seconds: how long it took in the recording, and how long to wait at most."""

    recorded: float
    longest: float


class Running:
    """A lasting exchange in progress."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.abandoned = False
        self.trouble = ""

    async def seen_until(self, moment: int, wait: Wait) -> bool:
        """Waits until it has seen what the recording had seen at `moment`; False when that does not come."""
        return True

    def judge_by(self, correspondence: Correspondence, node_names: Sequence[str]) -> None:
        """Tells it against what to compare while it is still open."""

    def give_up(self) -> None:
        self.abandoned = True

    async def finish(self, wait: Wait, *, leave: bool = False) -> bool:
        """Waits for what is still due and closes; with `leave` without waiting for the server to end it.

        False when what was due did not come.
        """
        raise NotImplementedError

    def compare(self, correspondence: Correspondence, node_names: Sequence[str]) -> Comparison:
        raise NotImplementedError
