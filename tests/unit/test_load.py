from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from local_platform.demo.load import Load, Mix, Record, read_records, summarise


def record(at: float = 0.0, **changes: object) -> Record:
    return Record(**{"at": at, "kind": "kept-alive", "status": 200, "latency_ms": 1.0, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [
        pytest.param({"status": 200}, False, id="an answer"),
        pytest.param({"status": 404}, False, id="the caller's mistake"),
        pytest.param({"status": 500}, True, id="an error of the service"),
        pytest.param({"status": 503}, True, id="no ready endpoint"),
        pytest.param({"status": 0, "error": "ServerDisconnectedError"}, True, id="a reset"),
        pytest.param({"status": 0, "error": "time-out"}, True, id="a time-out"),
    ],
)
def test_a_request_fails_without_an_answer_or_with_a_server_error(
    outcome: dict[str, object], failed: bool
) -> None:
    assert record(**outcome).failed is failed


def test_the_summary_counts_colours_failures_and_p95_by_second() -> None:
    first = [record(10 + n / 100, colour="blue", latency_ms=float(n + 1)) for n in range(20)]
    second = [
        record(11.1, colour="green", latency_ms=7.0),
        record(11.2, colour="green", status=503, latency_ms=2.0),
        record(11.3, status=0, error="ClientOSError", latency_ms=1.0),
        record(11.4, colour="green", kind="slow", latency_ms=1000.0),
    ]
    summary = summarise([*second, *first])
    assert (summary.requests, summary.failed) == (24, 2)
    assert summary.errors == {"status 503": 1, "ClientOSError": 1}
    assert summary.colours == {"blue": 20, "green": 3}
    assert [(s.at, s.requests, s.failed, s.p95_ms) for s in summary.seconds] == [
        (10, 20, 0, 19.0),
        (11, 4, 2, 7.0),
    ]


def test_a_second_without_an_answer_has_no_p95() -> None:
    assert summarise([record(status=0, error="time-out")]).p95_ms is None


def test_the_mix_keeps_its_shares_evenly() -> None:
    mix = Mix(new_connections=0.1, slow=0.05)
    kinds = [mix.kind(number) for number in range(1000)]
    assert (kinds.count("slow"), kinds.count("new-connection")) == (50, 100)
    assert max(len(gap) for gap in "".join(kind[0] for kind in kinds).split("s")) <= 20


@pytest.mark.parametrize("shares", [(0.6, 0.6), (-0.1, 0.0), (0.0, -0.1)])
def test_shares_that_are_not_parts_of_one_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        Mix(new_connections=shares[0], slow=shares[1])


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "load.ndjson"
    line = '{"at": 1.0, "kind": "slow", "status": 200, "latency_ms": 3.0, "colour": "blue", "error": ""}\n'
    file.write_text(line + line[:20])
    assert read_records(file) == [record(1.0, kind="slow", latency_ms=3.0, colour="blue")]


@asynccontextmanager
async def server(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_the_load_does_not_wait_for_slow_answers() -> None:
    everybody_asked = asyncio.Event()
    arrived = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        if arrived == 20:
            everybody_asked.set()
        await everybody_asked.wait()
        return web.Response(headers={"x-platform-colour": "green"})

    out = io.StringIO()
    async with server(answer) as url:
        sent = await Load(url, "a.example.com", out, Mix(slow=0)).run(rate=200, seconds=0.1)
    records = [Record(**json.loads(line)) for line in out.getvalue().splitlines()]
    assert sent == len(records) == 20
    assert {(r.status, r.colour) for r in records} == {(200, "green")}


async def test_every_kind_of_request_arrives_under_the_host_name() -> None:
    seen: set[tuple[str, str, str, bytes]] = set()

    async def answer(request: web.Request) -> web.Response:
        seen.add((request.host, request.method, request.path, await request.read()))
        return web.Response()

    mix = Mix(new_connections=0.5, slow=0.1, slow_path="/analyze", slow_body=b"0123456789", slow_s=0.01)
    out = io.StringIO()
    async with server(answer) as url:
        await Load(url, "a.example.com", out, mix).run(rate=400, seconds=0.1)
    assert seen == {
        ("a.example.com", "GET", "/health", b""),
        ("a.example.com", "POST", "/analyze", b"0123456789"),
    }
    kinds = [json.loads(line)["kind"] for line in out.getvalue().splitlines()]
    assert (kinds.count("slow"), kinds.count("new-connection")) == (4, 20)


async def test_a_dropped_kept_alive_connection_counts_as_failed() -> None:
    answered = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal answered
        answered += 1
        if answered == 2 and request.transport:
            request.transport.abort()
        return web.Response()

    out = io.StringIO()
    async with server(answer) as url:
        await Load(url, "a.example.com", out, Mix(slow=0, new_connections=0)).run(rate=20, seconds=0.15)
    records = [Record(**json.loads(line)) for line in out.getvalue().splitlines()]
    assert [r.failed for r in records].count(True) == 1


async def test_nobody_listening_is_a_failure_and_not_a_crash() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    async with server(answer) as url:
        pass
    out = io.StringIO()
    await Load(url, "a.example.com", out, Mix()).run(rate=100, seconds=0.02)
    assert [json.loads(line)["error"] for line in out.getvalue().splitlines()] == ["ClientConnectorError"] * 2
