"""Drives rollouts in one event loop, as the triggerer does, and measures itself.

    python tests/platform/delivery_many_child.py IDS SECONDS

A look is due when the pause before it is over, and done when it was decided what to do.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from datetime import timedelta
from pathlib import Path
from time import monotonic, process_time

import httpx

from platform_ops import wiring
from platform_ops.adapters.clock import SystemClock
from platform_ops.controller.views import RolloutView
from platform_ops.core.state import Phase
from platform_ops.wiring import Desk

WARM_UP = 15.0
"""Seconds in which caches fill and every rollout is taken; they count for nothing but memory."""


class WatchedClock(SystemClock):
    """Knows when each rollout's next look is due."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.driven: set[str] = set()
        self._due: dict[object, float] = {}

    async def sleep(self, duration: timedelta) -> None:
        self._due[asyncio.current_task()] = monotonic() + max(0.0, duration.total_seconds())
        await super().sleep(duration)

    def looked(self, view: RolloutView) -> None:
        self.driven.add(view.rollout_id)
        due = self._due.pop(asyncio.current_task(), None)
        if due is not None:
            self.delays.append(monotonic() - due)


async def drive(ids: list[str], seconds: float) -> dict[str, object]:
    clock = WatchedClock()
    async with wiring.connect(clock=clock, for_many=True) as desk:
        tasks = [_driving(desk, clock, ids[0])]
        await asyncio.sleep(WARM_UP)
        before = _rss()
        tasks += [_driving(desk, clock, one) for one in ids[1:]]
        await asyncio.sleep(WARM_UP)
        found = {"rss_before": before, **await _looked_at(desk, clock, seconds)}
        ended = [task for task in tasks if task.done()]
        assert not ended, f"{len(ended)} rollouts ended: {ended[0].result().reason}"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found


async def _looked_at(desk: Desk, clock: WatchedClock, seconds: float) -> dict[str, object]:
    clock.delays.clear()
    clock.driven.clear()
    asked, cpu, began = await _queries(desk), process_time(), monotonic()
    peak = _rss()
    while monotonic() < began + seconds:
        await asyncio.sleep(0.5)
        peak = max(peak, _rss())
    return {
        "seconds": monotonic() - began,
        "cpu": process_time() - cpu,
        "delays": list(clock.delays),
        "driven": len(clock.driven),
        "rss_after": peak,
        "threads": threading.active_count(),
        "children": _children(),
        "queries": await _queries(desk) - asked,
    }


def _driving(desk: Desk, clock: WatchedClock, rollout_id: str) -> asyncio.Task[RolloutView]:
    work = desk.controller.drive(rollout_id, goal=Phase.PROMOTED, holder="bench", progress=clock.looked)
    return asyncio.create_task(work)


def _rss() -> float:
    """MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def _children() -> int:
    return len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


async def _queries(desk: Desk) -> float:
    """Range queries that Prometheus has answered, by its own count."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        text = (await client.get(f"{desk.settings.need('prometheus_url')}/metrics")).text
    name = 'prometheus_http_requests_total{code="200",handler="/api/v1/query_range"}'
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(drive(json.loads(sys.argv[1]), float(sys.argv[2])))))
