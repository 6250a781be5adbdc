"""Servers that several of the service's tests need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from analyzer_servers import APPLICATION_ROLE, ValkeyServer, new_database, start_valkey
from postgres_server import PostgresServer, start_postgres


@pytest.fixture(scope="session")
def analyzer_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of the analyzer's tests, which may crash it."""
    with start_postgres(tmp_path_factory.mktemp("analyzer-postgres")) as server:
        yield server


@pytest.fixture
def database_name(analyzer_postgres: PostgresServer) -> str:
    return new_database(analyzer_postgres)


@pytest.fixture
def database_url(analyzer_postgres: PostgresServer, database_name: str) -> str:
    """An empty database with the schema, as the service's role sees it."""
    return analyzer_postgres.dsn(database_name, user=APPLICATION_ROLE)


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with start_valkey() as server:
        yield server
