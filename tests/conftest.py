"""Fixtures that more than one folder of tests needs."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import psycopg
import pytest
from own_platform import WITHOUT_AIRFLOW, OwnPlatform, own_platform
from postgres_server import PostgresServer, start_postgres
from psycopg import sql
from two_queues import TwoQueues
from xdist.remote import Producer
from xdist.scheduler.protocol import Scheduling

from platform_ops.adapters.ledger import Ledger
from platform_ops.adapters.ledger.migrate import migrate

TEMPLATE = "ledger_template"
ON_A_PLATFORM = 1200
"""Seconds for a test and what it waits for. It ends what hangs; nothing is measured by it."""


def pytest_configure() -> None:
    """`timeout` and CI runners end a run by SIGTERM: every fixture cleans up, as after an interrupt."""
    signal.signal(signal.SIGTERM, _interrupt)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """`make test` has two workers: see `TwoQueues`."""
    return TwoQueues(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs the platform waits for it, too: on a fresh machine its images are built then,
    and in tests/dags a release is promoted through three environments."""
    for item in items:
        if item.get_closest_marker("platform") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(ON_A_PLATFORM))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real PostgreSQL on a free port of loopback, with one database that holds the ledger's schema."""
    with start_postgres(tmp_path_factory.mktemp("postgres")) as server:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE ledger_app LOGIN PASSWORD '{server.password}'")
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        # The first test that asks for the server may be running its own event loop already.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, migrate(server.dsn(TEMPLATE))).result()
        yield server


@pytest.fixture
def ledger_database(postgres: PostgresServer) -> str:
    """The name of an empty ledger of this test's own."""
    name = f"ledger_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
    return name


@pytest.fixture
def ledger_dsn(postgres: PostgresServer, ledger_database: str) -> str:
    """As the application's role sees it."""
    return postgres.dsn(ledger_database, user="ledger_app")


@pytest.fixture
def owner_dsn(postgres: PostgresServer, ledger_database: str) -> str:
    return postgres.dsn(ledger_database)


@pytest.fixture
async def ledger(ledger_dsn: str) -> AsyncIterator[Ledger]:
    from fakes import ManualClock

    async with Ledger.connect(ledger_dsn, ManualClock()) as opened:
        yield opened


@pytest.fixture
def repository_root() -> Path:
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def platform_state() -> Iterator[OwnPlatform]:
    """The tests' own platform; nothing of it runs before somebody asks for `platform`."""
    with own_platform() as made:
        yield made


@pytest.fixture(scope="session")
def platform(platform_state: OwnPlatform) -> OwnPlatform:
    """A running platform, all but Airflow and the standby controller: nobody acts on it by himself."""
    platform_state.up(*WITHOUT_AIRFLOW)
    return platform_state


@pytest.fixture
def airflow_platform(platform_state: OwnPlatform) -> OwnPlatform:
    """The whole platform, as `make up` starts it; for each test anew, since some leave a part of it dead."""
    platform_state.up()
    return platform_state
