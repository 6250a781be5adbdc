"""Connections and transactions of the ledger, with psycopg's errors turned into ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from platform_ops.core.errors import PermanentError, Unavailable

Connection = psycopg.AsyncConnection[DictRow]
Row = dict[str, Any]
Parameters = Sequence[Any] | Mapping[str, Any]

_WAIT = 5.0
"""Seconds that a caller waits for a connection, and a statement may take."""


class Database:
    """A small pool that comes back by itself when the server does."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def connect(cls, dsn: str) -> AsyncIterator[Database]:
        """Opens no connection yet: a server that is away is noticed, and waited for, where it is needed."""
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={
                "row_factory": dict_row,
                "connect_timeout": 3,
                "options": f"-c statement_timeout={int(_WAIT * 1000)} -c search_path=ledger",
                "tcp_user_timeout": 8000,
                "keepalives_idle": 5,
            },
            min_size=0,
            max_size=4,
            max_idle=60,
            timeout=_WAIT,
            # The pool doubles its pause between attempts: a long one would outlast the server's return.
            reconnect_timeout=2,
            check=AsyncConnectionPool.check_connection,
            open=False,
            name="ledger",
        )
        async with pool:
            yield cls(pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Commits at the end, rolls back on an error. Raises Unavailable when the server is away."""
        try:
            async with self._pool.connection() as connection, connection.transaction():
                yield connection
        except PoolTimeout as error:
            raise Unavailable(f"The ledger's database gave no connection within {_WAIT:g} s") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable(f"The ledger's database does not answer: {error}".strip()) from error
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise Unavailable(
                "The ledger's database is read-only, and nothing moves before it takes writes again: point "
                "PLATFORM_OPS_LEDGER_DSN at the primary"
            ) from error
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise PermanentError(
                f"The ledger's schema is not this version's; run `ops ledger migrate` ({error})"
            ) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise PermanentError(f"The ledger's role may not do that: {error}".strip()) from error

    async def all(self, sql: LiteralString, parameters: Parameters = ()) -> list[Row]:
        async with self.transaction() as connection:
            return await all_rows(connection, sql, parameters)

    async def one(self, sql: LiteralString, parameters: Parameters = ()) -> Row | None:
        async with self.transaction() as connection:
            return await one_row(connection, sql, parameters)


async def all_rows(connection: Connection, sql: LiteralString, parameters: Parameters = ()) -> list[Row]:
    cursor = await connection.execute(sql, parameters)
    return await cursor.fetchall() if cursor.description else []


async def one_row(connection: Connection, sql: LiteralString, parameters: Parameters = ()) -> Row | None:
    cursor = await connection.execute(sql, parameters)
    return await cursor.fetchone() if cursor.description else None
