"""A bounded pool of threads, so that matching never holds the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class PoolFull(Exception):
    """More requests wait than may wait; the client is asked to come back."""

    def __init__(self) -> None:
        super().__init__("too much waits already; try again")


class Workers:
    """Runs functions in at most `threads` threads while at most `max_waiting` more wait."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="analysis")
        self._capacity = threads + max_waiting
        self._taken = 0
        self._last_wait = 0.0

    @property
    def taken(self) -> int:
        """Requests that run or wait."""
        return self._taken

    @property
    def capacity(self) -> int:
        """Requests that may run or wait."""
        return self._capacity

    @property
    def last_wait(self) -> float:
        """Seconds that the last request waited for a thread."""
        return self._last_wait

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`; raises `PoolFull` at once when nothing more may wait."""
        if self._taken >= self._capacity:
            raise PoolFull
        self._taken += 1
        asked = time.monotonic()

        def timed() -> T:
            self._last_wait = time.monotonic() - asked
            return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, timed)
        finally:
            self._taken -= 1

    def close(self) -> None:
        """Waits for what runs."""
        self._executor.shutdown(wait=True)
