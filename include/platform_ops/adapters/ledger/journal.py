"""The journal: every intent, outcome and decision in order. Insert-only."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from platform_ops.core.records import Entry

from .database import Connection, Database, Row


class JournalTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, entry: Entry) -> None:
        async with self._database.transaction() as connection:
            await write_entry(connection, entry)

    async def of_rollout(self, rollout_id: str) -> tuple[Entry, ...]:
        """Oldest first."""
        rows = await self._database.all(
            "SELECT * FROM journal WHERE rollout_id = %s ORDER BY number", (rollout_id,)
        )
        return tuple(_entry(row) for row in rows)

    async def of(self, service: str, environment: str | None = None, limit: int = 500) -> tuple[Entry, ...]:
        """The newest `limit` entries, oldest first."""
        rows = await self._database.all(
            "SELECT * FROM (SELECT * FROM journal WHERE service = %(service)s"
            " AND (%(environment)s::text IS NULL OR environment = %(environment)s)"
            " ORDER BY number DESC LIMIT %(limit)s) AS newest ORDER BY number",
            {"service": service, "environment": environment, "limit": limit},
        )
        return tuple(_entry(row) for row in rows)


async def write_entry(connection: Connection, entry: Entry) -> None:
    await connection.execute(
        "INSERT INTO journal (at, service, environment, rollout_id, promotion_id, token, actor, kind, what,"
        " why, detail) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            entry.at,
            entry.service,
            entry.environment,
            entry.rollout_id,
            entry.promotion_id,
            entry.token,
            entry.actor,
            entry.kind,
            entry.what,
            entry.why,
            Jsonb(dict(entry.detail)),
        ),
    )


def _entry(row: Row) -> Entry:
    return Entry(
        service=row["service"],
        environment=row["environment"],
        at=row["at"],
        actor=row["actor"],
        kind=row["kind"],
        what=row["what"],
        why=row["why"],
        rollout_id=str(row["rollout_id"]) if row["rollout_id"] else None,
        promotion_id=str(row["promotion_id"]) if row["promotion_id"] else None,
        token=row["token"],
        detail=row["detail"],
        number=row["number"],
    )
