"""What `POST /analyze` costs above an empty endpoint behind the same middleware, key check and rate limit.

    python analyzer/benches/bench_service.py [--seconds 30]

Both endpoints of one process are asked in turn, 50 times a second and in changing order: what disturbs one
also disturbs the other. Warm: every value was analysed before. The process uses ANALYZER_DATABASE_URL and
ANALYZER_REDIS_URL when they are set.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import sys
import time
from asyncio.subprocess import Process
from dataclasses import dataclass

import httpx
import uvicorn

from analyzer.service.app import create_app
from analyzer.service.dependencies import Analyst
from analyzer.service.logs import configure
from analyzer.service.schemas import AnalysisRequest
from analyzer.settings import DEVELOPMENT_KEY, Settings

RATE = 50
"""Requests a second to each endpoint."""
REACH = 1.5
PATIENCE = 180.0
"""Seconds that the service may take to start: its modules alone take 20 on a machine that is busy."""
VALUES = 200
"""Distinct values that are asked in turn."""
HEADERS = {"X-API-KEY": DEVELOPMENT_KEY}


@dataclass(frozen=True)
class Latency:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> Latency:
        cuts = statistics.quantiles(seconds, n=100)
        return cls(*(1000 * cuts[n - 1] for n in (50, 95, 99)))


@dataclass(frozen=True)
class Result:
    """One paired run."""

    requests: int
    empty: Latency
    cold: Latency
    warm: Latency

    @property
    def ratio(self) -> float:
        """p95 of warm analyses over p95 of the empty endpoint."""
        return self.warm.p95 / self.empty.p95


def serve(port: int) -> None:
    """The service with one more endpoint, which does nothing."""
    env = {"ANALYZER_RATE_LIMIT": "1000000/minute", "ANALYZER_DRAIN_SECONDS": "0", **os.environ}
    app = create_app(Settings.from_environment(env))

    @app.post("/empty")
    async def empty(body: AnalysisRequest, caller: Analyst) -> dict[str, bool]:
        return {"is_secret": False}

    configure()
    uvicorn.run(app, port=port, access_log=False, log_config=None)


async def measure(seconds: int) -> Result:
    """Starts the process, asks, stops it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, "--serve", str(port)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=HEADERS) as client:
            await _until_ready(client, process)
            cold = [await _timed(client, "/analyze", number) for number in range(VALUES)]
            empty, warm = await _paired(client, seconds)
    finally:
        process.terminate()
        await process.wait()
    return Result(len(warm), Latency.of(empty), Latency.of(cold), Latency.of(warm))


async def _paired(client: httpx.AsyncClient, seconds: int) -> tuple[list[float], list[float]]:
    empty: list[float] = []
    warm: list[float] = []
    begin = time.perf_counter()
    for number in range(RATE * seconds):
        await asyncio.sleep(max(begin + number / RATE - time.perf_counter(), 0))
        # In changing order, so that neither endpoint always meets the connection that rested.
        pair = [("/empty", empty), ("/analyze", warm)]
        for path, times in pair if number % 2 else reversed(pair):
            times.append(await _timed(client, path, number % VALUES))
    return empty, warm


async def _timed(client: httpx.AsyncClient, path: str, number: int) -> float:
    body = {"secret_value": f"value-{number:04}-of-the-bench", "context": "bench", "variable_name": "key"}
    begin = time.perf_counter()
    (await client.post(path, json=body)).raise_for_status()
    return time.perf_counter() - begin


async def _until_ready(client: httpx.AsyncClient, process: Process) -> None:
    end = time.monotonic() + PATIENCE
    while process.returncode is None and time.monotonic() < end:
        try:
            (await client.get("/readiness")).raise_for_status()
            return
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    if process.returncode is not None:
        raise RuntimeError(f"the service ended with {process.returncode} before it answered")
    raise RuntimeError(f"the service did not answer within {PATIENCE:g} seconds")


def rows(seconds: int = 30) -> list[tuple[str, str, str]]:
    """Rows (what, figure, reach) for `make bench-analyzer`."""
    result = asyncio.run(measure(seconds))
    shown = {
        "empty endpoint": result.empty,
        "POST /analyze, cold": result.cold,
        "POST /analyze, warm": result.warm,
    }
    lines = [
        (name, f"p50 {each.p50:.2f}  p95 {each.p95:.2f}  p99 {each.p99:.2f} ms", "")
        for name, each in shown.items()
    ]
    ratio = f"{result.ratio:.2f} × empty ({result.requests} pairs at {RATE}/s)"
    return [*lines, ("POST /analyze p95, warm", ratio, f"at most {REACH} ×")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
        return 0
    for name, figure, reach in rows(options.seconds):
        print(f"{name:<26} {figure:<48} {reach}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
