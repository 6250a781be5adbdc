"""A holder that a signal hits at a labelled point of its work (ADR-8): what the triggerer does, alone.

    python crash_holder.py ROLLOUT LABEL NTH SIGNAL

drives the rollout to Promoted and sends itself the signal when it reaches the label for the nth time: SIGKILL
is its death, SIGSTOP keeps it there until somebody sends SIGCONT. Exit code 3: it never came to that point.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from platform_ops import wiring
from platform_ops.core.state import Phase

NEVER_REACHED = 3
HOLDER = "holder"


class SignalAt:
    """The crash port: counts down to one visit of one label."""

    def __init__(self, label: str, nth: int, number: signal.Signals) -> None:
        self._label = label
        self._number = number
        self.left = nth

    def reach(self, label: str) -> None:
        if label != self._label:
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self._number)


async def hold(rollout_id: str, at: SignalAt) -> int:
    async with wiring.connect(crash=at) as desk:
        view = await desk.controller.drive(rollout_id, goal=Phase.PROMOTED, holder=HOLDER)
    logging.info("%s", view)
    return 0 if at.left <= 0 else NEVER_REACHED


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    rollout_id, label, nth, number = sys.argv[1:]
    sys.exit(asyncio.run(hold(rollout_id, SignalAt(label, int(nth), signal.Signals[number]))))
