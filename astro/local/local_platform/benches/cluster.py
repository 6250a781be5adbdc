"""GETs of one pod per second while 50 watches are open, and the same client against a bare server."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import fmean
from time import monotonic

import aiohttp

from local_platform.cluster_access import ClusterAccess

WATCHES = 50
CLIENTS = 8
"""Requests under way at any moment, each on a kept connection."""

TURNS = 5


@dataclass(frozen=True)
class Figures:
    gets_per_second: float
    floor_per_second: float
    watches: int
    """How many were open and had told of the pod."""


async def measure(access: ClusterAccess, namespace: str, pod: str, seconds: float) -> Figures:
    """Double and floor take turns, so that a busy machine slows both; the watches stay open throughout."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    trust = ssl.create_default_context(cafile=str(access.ca))
    headers = {"Authorization": f"Bearer {access.token('admin')}"}
    async with aiohttp.ClientSession(
        headers=headers, connector=aiohttp.TCPConnector(limit=0, ssl=trust)
    ) as session:
        async with session.get(f"{access.url}{pods}/{pod}") as answer:
            answer.raise_for_status()
            body = await answer.read()
        watch = f"{access.url}{pods}?watch=true&allowWatchBookmarks=true"
        async with _floor(access, body) as port, _watched(session, watch) as told:
            urls = (access.url, f"https://127.0.0.1:{port}")
            turns = [
                [await _gets_per_second(session, f"{url}{pods}/{pod}", seconds / 2 / TURNS) for url in urls]
                for _ in range(TURNS)
            ]
            watches = len(told)
    return Figures(fmean(ours for ours, _ in turns), fmean(floor for _, floor in turns), watches)


async def _gets_per_second(session: aiohttp.ClientSession, url: str, seconds: float) -> float:
    began = monotonic()

    async def ask() -> int:
        number = 0
        while monotonic() < began + seconds:
            async with session.get(url) as answer:
                answer.raise_for_status()
                await answer.read()
            number += 1
        return number

    counts = await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    return sum(counts) / (monotonic() - began)


@asynccontextmanager
async def _watched(session: aiohttp.ClientSession, url: str) -> AsyncIterator[set[int]]:
    """50 watches, each of which has shown at least one event; yields those that are open."""
    told: set[int] = set()
    every_one = asyncio.Event()

    async def follow(number: int) -> None:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as stream:
            async for _ in stream.content:
                told.add(number)
                if len(told) == WATCHES:
                    every_one.set()
        told.discard(number)

    tasks = [asyncio.create_task(follow(number)) for number in range(WATCHES)]
    try:
        async with asyncio.timeout(30):
            await every_one.wait()
        yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _floor(access: ClusterAccess, body: bytes) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local_platform.benches.floor", str(access.certificate), str(access.key)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(body)
    process.stdin.write_eof()
    try:
        yield int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()
