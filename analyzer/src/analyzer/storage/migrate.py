"""`python -m analyzer.storage.migrate`: numbered SQL migrations, run by the owner of the database.

The service itself connects as `analyzer_app`, or as a member of it, and may not change the schema. With
ANALYZER_DATABASE_APP_PASSWORD set, the role may log in with that password.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import psycopg
from psycopg import sql

_LOCK = 0x616E616C
"""Advisory lock: two at once run one after the other."""


class MigrationError(Exception):
    """The schema could not be brought up to date; nothing of the failed migration is left."""


@dataclass(frozen=True)
class Migration:
    """One file of `migrations/`."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> Iterator[Migration]:
    """The migrations of this package, in order."""
    folder = files("analyzer.storage").joinpath("migrations")
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".sql"):
            yield Migration(file.name, file.read_text(encoding="utf-8"))


async def migrate(owner_url: str) -> list[str]:
    """Applies what is missing, each in its own transaction; returns the names. Run again, it does nothing."""
    try:
        connection = await psycopg.AsyncConnection.connect(owner_url, autocommit=True, connect_timeout=5)
    except psycopg.Error as error:
        raise MigrationError(f"the database does not answer: {error}".strip()) from error
    async with connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        await connection.execute("CREATE SCHEMA IF NOT EXISTS analyzer")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS analyzer.migrations ("
            "name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        return [m.name for m in migrations() if await _apply(connection, m)]


async def allow_login(owner_url: str, password: str) -> None:
    """Lets the application's role log in with a password, for databases that nobody else looks after."""
    async with await psycopg.AsyncConnection.connect(
        owner_url, autocommit=True, connect_timeout=5
    ) as connection:
        await connection.execute(sql.SQL("ALTER ROLE analyzer_app LOGIN PASSWORD {}").format(password))


async def _apply(connection: psycopg.AsyncConnection[tuple[object, ...]], migration: Migration) -> bool:
    cursor = await connection.execute(
        "SELECT sha256 FROM analyzer.migrations WHERE name = %s", (migration.name,)
    )
    applied = await cursor.fetchone()
    if applied is not None:
        if applied[0] != migration.sha256:
            raise MigrationError(f"{migration.name} was changed after it was applied: add a new one instead")
        return False
    try:
        async with connection.transaction():
            await connection.execute(migration.sql.encode())
            await connection.execute(
                "INSERT INTO analyzer.migrations (name, sha256) VALUES (%s, %s)",
                (migration.name, migration.sha256),
            )
    except psycopg.Error as error:
        raise MigrationError(f"{migration.name} failed and was rolled back: {error}") from error
    return True


def main() -> int:
    """Reads the variables above and ANALYZER_DATABASE_OWNER_URL; 0: the schema is up to date, 2: not.

    Several databases, such as those of all environments, are named by a URL a line.
    """
    urls = os.environ.get("ANALYZER_DATABASE_OWNER_URL", "").splitlines()
    if not urls:
        print("migrate: set ANALYZER_DATABASE_OWNER_URL to a URL of the database's owner", file=sys.stderr)
        return 2
    try:
        applied = [name for url in urls for name in asyncio.run(migrate(url))]
        if password := os.environ.get("ANALYZER_DATABASE_APP_PASSWORD", ""):
            asyncio.run(allow_login(urls[0], password))
    except MigrationError as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 2
    print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")
    return 0


if __name__ == "__main__":
    sys.exit(main())
