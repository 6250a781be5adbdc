"""Connections to PostgreSQL: a small pool, short waits, one kind of error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from analyzer.storage.records import StoreUnavailable

Row: TypeAlias = dict[str, Any]
Connection: TypeAlias = psycopg.AsyncConnection[Row]

WAIT = 2.0
"""Seconds that a request waits for a connection, and that connecting may take."""


class Database:
    """Transactions of the application's role. Texts of errors can quote rows: they are dropped."""

    def __init__(self, url: str) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=4,
            open=False,
            timeout=WAIT,
            reconnect_timeout=5.0,
            max_waiting=64,
            check=AsyncConnectionPool.check_connection,
            connection_class=psycopg.AsyncConnection[Row],
            kwargs={
                "row_factory": dict_row,
                "connect_timeout": 2,
                "application_name": "analyzer",
                "options": "-c statement_timeout=5000 -c lock_timeout=3000 -c search_path=analyzer",
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 2,
                "tcp_user_timeout": 5000,
            },
        )

    async def open(self) -> None:
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=WAIT)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Commits at the end; whatever PostgreSQL cannot do right now is `StoreUnavailable`."""
        try:
            async with self._pool.connection() as connection, connection.transaction():
                yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise StoreUnavailable(
                "the schema is not there: run `python -m analyzer.storage.migrate`"
            ) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreUnavailable("the role may not do that: is it a member of analyzer_app?") from error
        except (PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise StoreUnavailable(f"PostgreSQL did not answer ({type(error).__name__})") from error

    async def all(self, sql: LiteralString, parameters: Row | None = None) -> list[Row]:
        async with self.transaction() as connection:
            return await (await connection.execute(sql, parameters)).fetchall()

    async def run(self, sql: LiteralString, parameters: Row | None = None) -> int:
        """How many rows were changed."""
        async with self.transaction() as connection:
            return (await connection.execute(sql, parameters)).rowcount

    async def ping(self) -> None:
        async with asyncio.timeout(WAIT + 1):
            await self.all("SELECT only_row FROM active_version")
