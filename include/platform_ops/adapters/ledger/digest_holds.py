"""Holds of digests and their releases. Insert-only."""

from __future__ import annotations

from dataclasses import replace

from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.core.digest_holds import DigestHold
from platform_ops.core.records import Entry

from .database import Connection, Database, Row, all_rows, one_row
from .journal import write_entry


class DigestHoldTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(
        self, service: str, environment: str | None = None, digest: str | None = None
    ) -> tuple[DigestHold, ...]:
        """Holds that nobody released, oldest first: those that count in `environment` (a hold counts in
        its own and in every later one), or all of the service's."""
        async with self._database.transaction() as connection:
            return await _standing(connection, service, environment, digest)

    async def served(self, service: str, environment: str, digest: str) -> bool:
        """Whether going there is going back: a rollout that is not over replaced this digest, or its newest
        promotion there ended well."""
        row = await self._database.one(
            "SELECT EXISTS (SELECT FROM rollouts WHERE service = %(service)s"
            " AND environment = %(environment)s AND previous_digest = %(digest)s"
            " AND phase NOT IN ('Reclaimed', 'RolledBack'))"
            " OR 'promoted' = (SELECT outcome FROM promotions WHERE service = %(service)s"
            " AND environment = %(environment)s AND digest = %(digest)s"
            " AND outcome IN ('promoted', 'rolled_back') ORDER BY ended_at DESC LIMIT 1) AS served",
            {"service": service, "environment": environment, "digest": digest},
        )
        return bool(row and row["served"])

    async def hold(self, hold: DigestHold, entry: Entry) -> None:
        """Hold what a person left. A rollout holds a digest once, with one line in the journal."""
        async with self._database.transaction() as connection:
            await write_hold(connection, hold, entry)

    async def history(self, service: str, digest: str) -> tuple[DigestHold, ...]:
        """Every hold and release of a digest, oldest first."""
        rows = await self._database.all(
            "SELECT * FROM digest_holds WHERE service = %s AND digest = %s ORDER BY number", (service, digest)
        )
        return tuple(_hold(row) for row in rows)

    async def release(self, release: DigestHold, entry: Entry) -> tuple[DigestHold, ...]:
        """Let the digest go in every environment where it is on hold, with a line in the journal for each.
        Returns the holds that ended; none, when there was none."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (release.digest,))
            ended = await _standing(connection, release.service, None, release.digest)
            for hold in ended:
                await _insert(connection, release, hold.environment)
                await write_entry(connection, replace(entry, environment=hold.environment))
        return ended


async def write_hold(connection: Connection, hold: DigestHold, entry: Entry) -> None:
    """Beside the end of the rollback, in its transaction. A rollout holds a digest once."""
    if await _insert(connection, hold, hold.environment):
        await write_entry(connection, entry)


async def _standing(
    connection: Connection, service: str, environment: str | None, digest: str | None
) -> tuple[DigestHold, ...]:
    counting = ENVIRONMENTS if environment is None else ENVIRONMENTS[: ENVIRONMENTS.index(environment) + 1]
    rows = await all_rows(
        connection,
        "SELECT * FROM (SELECT DISTINCT ON (environment, digest) * FROM digest_holds"
        " WHERE service = %(service)s AND environment = ANY(%(counting)s)"
        " AND (%(digest)s::text IS NULL OR digest = %(digest)s)"
        " ORDER BY environment, digest, number DESC) AS newest WHERE held ORDER BY number",
        {"service": service, "counting": list(counting), "digest": digest},
    )
    return tuple(_hold(row) for row in rows)


async def _insert(connection: Connection, line: DigestHold, environment: str) -> bool:
    row = await one_row(
        connection,
        "INSERT INTO digest_holds (service, environment, digest, held, rollout_id, by_whom, why, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (rollout_id, digest) DO NOTHING RETURNING number",
        (
            line.service,
            environment,
            line.digest,
            line.held,
            line.rollout_id,
            line.by,
            line.why,
            line.at,
        ),
    )
    return row is not None


def _hold(row: Row) -> DigestHold:
    return DigestHold(
        row["service"],
        row["environment"],
        row["digest"],
        row["held"],
        row["by_whom"],
        row["why"],
        row["at"],
        str(row["rollout_id"]) if row["rollout_id"] else None,
    )
