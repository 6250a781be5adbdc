"""An open-loop load: so many requests a second, whatever the answers take, each one recorded.

    python -m local_platform.demo.load --url http://127.0.0.1:8080 --host llm.example.com --seconds 60 --out F

Closed-loop clients wait for slow answers and so hide an outage; here a request starts when its time has come.
Most requests use kept-alive connections, some open one of their own, and some are slow: they send a body in
pieces over about a second, so that any moment of a switch has requests in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any, TextIO

import aiohttp

COLOUR_HEADER = "x-platform-colour"
KINDS = ("kept-alive", "new-connection", "slow")


@dataclass(frozen=True)
class Mix:
    """What is asked. Shares are of all requests; the rest is kept-alive.

    Quick requests GET `path`, or POST the `bodies` to it in turn. `slow_path` gets a POST of `slow_body` in
    pieces over `slow_s` seconds.
    """

    path: str = "/health"
    bodies: tuple[bytes, ...] = ()
    new_connections: float = 0.1
    slow: float = 0.05
    slow_path: str = "/analyze"
    slow_body: bytes = b'{"secret_value": "not-a-secret", "context": "load", "variable_name": "LOAD"}'
    slow_s: float = 1.0
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.new_connections, self.slow) < 0 or self.new_connections + self.slow > 1:
            raise ValueError("the shares of new connections and slow requests must be 0 to 1 together")

    def kind(self, number: int) -> str:
        """Kind of the request with this number: the shares are kept evenly, without chance."""
        if _falls_on(number, self.slow):
            return "slow"
        return "new-connection" if _falls_on(number, self.new_connections, shift=1) else "kept-alive"


def _falls_on(number: int, share: float, shift: int = 0) -> bool:
    return int((number + shift + 1) * share) > int((number + shift) * share)


@dataclass(frozen=True)
class Record:
    """One request. `at` is its start in Unix seconds; `status` is 0 and `error` set when no answer came."""

    at: float
    kind: str
    status: int
    latency_ms: float
    colour: str = ""
    error: str = ""

    @property
    def failed(self) -> bool:
        """No answer (refused, reset, timed out) or one of 5xx. A 4xx is the caller's fault, not an outage."""
        return bool(self.error) or self.status >= 500


@dataclass(frozen=True)
class Second:
    """What one second of load looked like; latency is over all answers of that second, None without any."""

    at: int
    requests: int
    failed: int
    colours: dict[str, int]
    p95_ms: float | None


@dataclass(frozen=True)
class Summary:
    """A whole run, or the part of it that has been recorded so far."""

    requests: int
    failed: int
    errors: dict[str, int]
    colours: dict[str, int]
    p95_ms: float | None
    seconds: list[Second]


def summarise(records: Iterable[Record]) -> Summary:
    """Counts, colours and p95 over time; latencies without the slow uploads, whose time is the client's."""
    ordered = sorted(records, key=lambda record: record.at)
    by_second: dict[int, list[Record]] = {}
    for record in ordered:
        by_second.setdefault(int(record.at), []).append(record)
    failures = [record for record in ordered if record.failed]
    return Summary(
        requests=len(ordered),
        failed=len(failures),
        errors=dict(Counter(record.error or f"status {record.status}" for record in failures)),
        colours=_colours(ordered),
        p95_ms=_p95(ordered),
        seconds=[
            Second(at, len(group), sum(record.failed for record in group), _colours(group), _p95(group))
            for at, group in by_second.items()
        ],
    )


def _colours(records: Iterable[Record]) -> dict[str, int]:
    return dict(Counter(record.colour for record in records if record.colour))


def _p95(records: Iterable[Record]) -> float | None:
    latencies = sorted(record.latency_ms for record in records if record.status and record.kind != "slow")
    if not latencies:
        return None
    # Nearest rank: the smallest latency that at least 95 % of the answers do not exceed.
    return latencies[-(-len(latencies) * 95 // 100) - 1]


def read_records(path: Path) -> list[Record]:
    """Records of a file that may still be written to: an unfinished last line is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [Record(**json.loads(line)) for line in lines if line.endswith("\n")]


class Load:
    """Sends requests to one URL under one host name and writes a record of each."""

    def __init__(
        self, url: str, host: str, out: TextIO, mix: Mix | None = None, *, timeout_s: float = 10.0
    ) -> None:
        self._url = url.rstrip("/")
        self._out = out
        self._mix = mix or Mix()
        self._headers = {"Host": host, **self._mix.headers}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s + self._mix.slow_s)
        self.stopping = asyncio.Event()

    async def run(self, rate: float, seconds: float | None = None) -> int:
        """Send `rate` requests a second until `seconds` are over or `stopping` is set; return how many.

        Requests in flight at the end are waited for.
        """
        async with self._session(keep_alive=True) as kept, self._session(keep_alive=False) as fresh:
            in_flight: set[asyncio.Task[None]] = set()
            start, number = monotonic(), 0
            while not self.stopping.is_set() and (seconds is None or number < rate * seconds):
                wait = start + number / rate - monotonic()
                if wait > 0:
                    await self._pause(wait)
                    continue
                kind = self._mix.kind(number)
                session = fresh if kind == "new-connection" else kept
                task = asyncio.create_task(self._one(session, kind, number))
                in_flight.add(task)
                task.add_done_callback(in_flight.discard)
                number += 1
            await asyncio.gather(*in_flight)
            self._out.flush()
        return number

    def _session(self, *, keep_alive: bool) -> aiohttp.ClientSession:
        # Reuse ends before the gateway's idle time-out (300 s), so that the two never meet.
        connector = (
            aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
            if keep_alive
            else aiohttp.TCPConnector(limit=0, force_close=True)
        )
        session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )
        # aiohttp would send a GET again when its kept connection is dropped, and so hide what we count.
        session._retry_connection = False
        return session

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return

    async def _one(self, session: aiohttp.ClientSession, kind: str, number: int) -> None:
        at, started = time(), monotonic()
        status, colour, error = 0, "", ""
        try:
            async with self._request(session, kind, number) as response:
                await response.read()
                status, colour = response.status, response.headers.get(COLOUR_HEADER, "")
        except TimeoutError:
            error = "time-out"
        except (aiohttp.ClientError, OSError) as failure:
            error = type(failure).__name__
        latency = round((monotonic() - started) * 1000, 2)
        self._out.write(json.dumps(asdict(Record(round(at, 4), kind, status, latency, colour, error))) + "\n")

    def _request(self, session: aiohttp.ClientSession, kind: str, number: int) -> Any:
        if kind != "slow":
            return self._quick(session, number)
        return session.post(
            self._url + self._mix.slow_path,
            data=self._trickle(),
            headers={
                **self._headers,
                "Content-Type": "application/json",
                "Content-Length": str(len(self._mix.slow_body)),
            },
        )

    def _quick(self, session: aiohttp.ClientSession, number: int) -> Any:
        url, bodies = self._url + self._mix.path, self._mix.bodies
        if not bodies:
            return session.get(url, headers=self._headers)
        headers = {**self._headers, "Content-Type": "application/json"}
        return session.post(url, data=bodies[number % len(bodies)], headers=headers)

    async def _trickle(self) -> AsyncIterator[bytes]:
        pieces, body = 5, self._mix.slow_body
        size = max(1, -(-len(body) // pieces))
        for offset in range(0, len(body), size):
            if offset:
                await asyncio.sleep(self._mix.slow_s / (pieces - 1))
            yield body[offset : offset + size]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local_platform.demo.load", description=__doc__)
    parser.add_argument("--url", required=True, help="where to connect to, such as http://127.0.0.1:8080")
    parser.add_argument("--host", required=True, help="Host header: the service's public host name")
    parser.add_argument("--rate", type=float, default=50, help="requests a second (default 50)")
    parser.add_argument("--seconds", type=float, help="how long; until SIGTERM when not given")
    parser.add_argument("--out", type=Path, required=True, help="NDJSON file that gets one line a request")
    parser.add_argument("--path", default=Mix.path, help=f"path of the quick requests (default {Mix.path})")
    parser.add_argument(
        "--bodies", type=Path, help="file with a JSON body a line: quick requests POST them in turn"
    )
    parser.add_argument("--slow-path", default=Mix.slow_path, help=f"path of slow uploads ({Mix.slow_path})")
    parser.add_argument("--slow", type=float, default=Mix.slow, help="share of slow requests, 0 to 1")
    parser.add_argument("--new-connections", type=float, default=Mix.new_connections, help="share, 0 to 1")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="extra header")
    return parser.parse_args()


async def _run(options: argparse.Namespace) -> None:
    pairs = (header.split(":", 1) for header in options.header)
    mix = Mix(
        path=options.path,
        bodies=tuple(options.bodies.read_bytes().splitlines()) if options.bodies else (),
        slow_path=options.slow_path,
        slow=options.slow,
        new_connections=options.new_connections,
        headers={name.strip(): value.strip() for name, value in pairs},
    )
    with options.out.open("a", encoding="utf-8", buffering=1) as out:
        load = Load(options.url, options.host, out, mix)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, load.stopping.set)
        await load.run(options.rate, options.seconds)


def main() -> int:
    options = arguments()
    asyncio.run(_run(options))
    summary = summarise(read_records(options.out))
    print(
        f"{summary.requests} requests, {summary.failed} failed {summary.errors or ''}, "
        f"by colour {summary.colours}, p95 {summary.p95_ms} ms"
    )
    return 1 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
