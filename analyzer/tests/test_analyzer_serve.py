"""The process: it binds where it is told, drains at SIGTERM, and leaves with 0."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process

import httpx


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def start(port: int, **env: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "analyzer", "serve", "--port", str(port),
        stdout=PIPE, stderr=STDOUT, env=os.environ | env,
    )  # fmt: skip


async def until(process: Process, words: str) -> str:
    """What the process writes up to a line with `words`."""
    assert process.stdout is not None
    seen = ""
    while line := (await process.stdout.readline()).decode():
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"it ended without {words!r}:\n{seen}")


async def test_after_sigterm_it_is_unready_and_serves_and_then_leaves_with_0() -> None:
    port = free_port()
    process = await start(port, ANALYZER_DRAIN_SECONDS="2")
    await until(process, f"127.0.0.1:{port}")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/readiness")).status_code == 200
        process.send_signal(signal.SIGTERM)
        await until(process, "not ready any more")
        assert (await client.get("/readiness")).status_code == 503
        assert (await client.get("/health")).status_code == 200
    assert await process.wait() == 0


async def test_a_request_that_runs_at_the_end_of_the_drain_is_answered() -> None:
    port = free_port()
    process = await start(port, ANALYZER_DRAIN_SECONDS="1")
    await until(process, f"127.0.0.1:{port}")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"secret_value": "a"}'
    head = (
        f"POST /analyze HTTP/1.1\r\nHost: a\r\nX-API-KEY: dev-key-12345\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[:5])
    await writer.drain()
    process.send_signal(signal.SIGTERM)
    await until(process, "Waiting for connections to close")
    writer.write(body[5:])
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    assert await process.wait() == 0


async def test_production_without_keys_does_not_start() -> None:
    process = await start(free_port(), ANALYZER_ENV="production")
    output, _ = await process.communicate()
    assert process.returncode == 2
    assert "set ANALYZER_API_KEYS" in output.decode()
