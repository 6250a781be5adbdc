"""Votes and grants. Insert-only: the application's role can neither change nor remove one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from psycopg.types.json import Jsonb

from platform_ops.core.approvals import ApprovalRule, Grant, QuorumResult, Vote, quorum
from platform_ops.core.records import Promotion

from .database import Connection, Database, Row, all_rows


class ApprovalTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self,
        promotion: Promotion,
        *,
        votes: Sequence[Vote],
        rule: ApprovalRule,
        authors: Iterable[str],
        now: datetime,
    ) -> QuorumResult:
        """Store the votes and, when the quorum is met, the grant. `authors` are user names.

        Counted are all votes that the ledger holds of this promotion and digest, not only those given now.
        """
        digest = promotion.release.digest
        async with self._database.transaction() as connection:
            for vote in votes:
                await _store(connection, promotion, digest, vote)
            rows = await all_rows(
                connection,
                "SELECT * FROM votes WHERE promotion_id = %s AND digest = %s ORDER BY number",
                (promotion.id, digest),
            )
            result = quorum(rule, [_vote(row) for row in rows], promotion.requested_by, authors)
            if result.met:
                await _grant(connection, promotion, digest, rule, result, now)
        return result

    async def granted(self, service: str, environment: str, digest: str) -> Grant | None:
        """The newest grant of this digest there."""
        row = await self._database.one(
            "SELECT * FROM grants WHERE service = %s AND environment = %s AND digest = %s"
            " ORDER BY at DESC LIMIT 1",
            (service, environment, digest),
        )
        return _to_grant(row) if row else None

    async def votes(self, promotion_id: str) -> tuple[Vote, ...]:
        rows = await self._database.all(
            "SELECT * FROM votes WHERE promotion_id = %s ORDER BY number", (promotion_id,)
        )
        return tuple(_vote(row) for row in rows)

    async def grants(
        self, service: str, environment: str | None = None, limit: int = 50
    ) -> tuple[Grant, ...]:
        """Newest first."""
        rows = await self._database.all(
            "SELECT * FROM grants WHERE service = %(service)s"
            " AND (%(environment)s::text IS NULL OR environment = %(environment)s)"
            " ORDER BY at DESC LIMIT %(limit)s",
            {"service": service, "environment": environment, "limit": limit},
        )
        return tuple(_to_grant(row) for row in rows)


async def _store(connection: Connection, promotion: Promotion, digest: str, vote: Vote) -> None:
    await connection.execute(
        "INSERT INTO votes (promotion_id, service, environment, digest, role, user_name, option, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            promotion.id,
            promotion.service,
            promotion.environment,
            digest,
            vote.role,
            vote.user,
            vote.option,
            vote.at,
        ),
    )


async def _grant(
    connection: Connection,
    promotion: Promotion,
    digest: str,
    rule: ApprovalRule,
    result: QuorumResult,
    now: datetime,
) -> None:
    await connection.execute(
        "INSERT INTO grants (promotion_id, service, environment, digest, required, voters, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            promotion.id,
            promotion.service,
            promotion.environment,
            digest,
            Jsonb(dict(rule.required)),
            [vote.user for vote in result.counted],
            now,
        ),
    )


def _vote(row: Row) -> Vote:
    return Vote(row["role"], row["user_name"], row["option"], row["at"])


def _to_grant(row: Row) -> Grant:
    return Grant(
        row["service"],
        row["environment"],
        row["digest"],
        str(row["promotion_id"]),
        row["required"],
        tuple(row["voters"]),
        row["at"],
    )
