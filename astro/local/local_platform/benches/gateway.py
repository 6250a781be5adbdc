"""What the gateway adds: each request goes once to the pod itself and once through the gateway, in turns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import aiohttp

PAIRS_PER_SECOND = 50
WARM_UP = 50


@dataclass(frozen=True)
class Figures:
    """Milliseconds. `added` is the difference of the two p95; `median_added` is over the pairs."""

    pairs: int
    direct_p95: float
    gateway_p95: float
    median_added: float

    @property
    def added(self) -> float:
        return self.gateway_p95 - self.direct_p95


async def measure(gateway: str, host: str, pod: str, path: str, pairs: int) -> Figures:
    """`gateway` and `pod` are addresses as http://host:port; both answer `path` from the same process."""
    direct: list[float] = []
    routed: list[float] = []
    async with aiohttp.ClientSession() as session:
        for number in range(WARM_UP + pairs):
            began = perf_counter()
            # Who goes first alternates, so that neither side always finds the caches warm.
            times = {}
            for side in ("direct", "routed") if number % 2 else ("routed", "direct"):
                url = (pod if side == "direct" else gateway) + path
                times[side] = await _milliseconds(session, url, host)
            if number >= WARM_UP:
                direct.append(times["direct"])
                routed.append(times["routed"])
            await asyncio.sleep(max(0.0, began + 1 / PAIRS_PER_SECOND - perf_counter()))
    added = median(b - a for a, b in zip(direct, routed, strict=True))
    return Figures(pairs, _p95(direct), _p95(routed), added)


async def _milliseconds(session: aiohttp.ClientSession, url: str, host: str) -> float:
    began = perf_counter()
    async with session.get(url, headers={"Host": host}) as answer:
        answer.raise_for_status()
        await answer.read()
    return (perf_counter() - began) * 1000


def _p95(values: list[float]) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * 95 // 100) - 1]
