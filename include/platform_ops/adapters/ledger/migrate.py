"""Numbered SQL migrations, run by the schema's owner; the application's role may not change the schema."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import psycopg

from platform_ops.core.errors import PermanentError, Unavailable

_LOCK = 0x706C6174
"""Advisory lock: two `ops ledger migrate` at once run one after the other."""


@dataclass(frozen=True)
class Migration:
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> Iterator[Migration]:
    """The migrations of this package, in order."""
    folder = files(__package__).joinpath("migrations")
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".sql"):
            yield Migration(file.name, file.read_text(encoding="utf-8"))


async def migrate(owner_dsn: str) -> list[str]:
    """Apply what is missing, each in its own transaction; returns the names. Run again, it does nothing."""
    try:
        connection = await psycopg.AsyncConnection.connect(owner_dsn, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise Unavailable(f"The ledger's database does not answer: {error}".strip()) from error
    async with connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        await _prepare(connection)
        return [m.name for m in migrations() if await _apply(connection, m)]


async def _prepare(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
    await connection.execute("CREATE SCHEMA IF NOT EXISTS ledger")
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS ledger.migrations ("
        "name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )


async def _apply(connection: psycopg.AsyncConnection[tuple[object, ...]], migration: Migration) -> bool:
    cursor = await connection.execute(
        "SELECT sha256 FROM ledger.migrations WHERE name = %s", (migration.name,)
    )
    applied = await cursor.fetchone()
    if applied is not None:
        if applied[0] != migration.sha256:
            raise PermanentError(
                f"{migration.name} was changed after it was applied: restore it and add a new one instead"
            )
        return False
    try:
        async with connection.transaction():
            await connection.execute(migration.sql.encode())
            await connection.execute(
                "INSERT INTO ledger.migrations (name, sha256) VALUES (%s, %s)",
                (migration.name, migration.sha256),
            )
    except psycopg.Error as error:
        raise PermanentError(f"{migration.name} failed and was rolled back: {error}") from error
    return True
