"""The process: it binds where it is told, drains at SIGTERM, and leaves with 0."""

from __future__ import annotations

import asyncio
import signal

import httpx
from analyzer_servers import free_port, start_process, until


async def test_after_sigterm_it_is_unready_and_serves_and_then_leaves_with_0() -> None:
    port = free_port()
    process = await start_process(port, ANALYZER_DRAIN_SECONDS="2")
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
    process = await start_process(port, ANALYZER_DRAIN_SECONDS="1")
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
    process = await start_process(free_port(), ANALYZER_ENV="production")
    output, _ = await process.communicate()
    assert process.returncode == 2
    assert "set ANALYZER_API_KEYS" in output.decode()
