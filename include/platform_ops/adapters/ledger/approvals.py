"""Ballots, votes, grants, voids. Insert-only: the application's role can neither change nor remove one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from platform_ops.core.approvals import ApprovalRule, Grant, QuorumResult, Void, Vote, quorum
from platform_ops.core.evidence import NOTHING, Evidence
from platform_ops.core.records import Promotion

from .database import Connection, Database, Row, all_rows
from .evidence import keep_evidence, show_ballot, shown_on, to_evidence

_VOTES = (
    "SELECT votes.*, outcomes FROM votes LEFT JOIN evidence ON evidence.fingerprint = votes.evidence"
    " WHERE promotion_id = %s"
)
_GRANTS = "SELECT grants.*, outcomes FROM grants LEFT JOIN evidence ON evidence.fingerprint = grants.evidence"


@dataclass(frozen=True)
class Standing:
    """What the ledger holds about a digest that is about to gain traffic somewhere."""

    grant: Grant | None
    """The newest one."""
    votes: tuple[Vote, ...]
    """Of the grant's promotion."""
    voids: tuple[Void, ...]
    """Since the grant was given."""
    carried: bool
    """Whether it serves or served there: its start is behind it."""


class ApprovalTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, promotion: Promotion, seat: str, evidence: Evidence, now: datetime) -> None:
        """Note what the person in `seat` (the name of its task) is about to read."""
        async with self._database.transaction() as connection:
            await show_ballot(connection, promotion.id, seat, evidence, now)

    async def shown(self, promotion: Promotion, seat: str, before: datetime) -> Evidence:
        """What the seat was shown last before that time; evidence of nothing when it never was."""
        async with self._database.transaction() as connection:
            return await shown_on(connection, promotion.id, seat, before)

    async def record(
        self,
        promotion: Promotion,
        *,
        votes: Sequence[Vote],
        rule: ApprovalRule,
        authors: Iterable[str],
        now: datetime,
        evidence: Evidence = NOTHING,
    ) -> QuorumResult:
        """Store the votes and, when the quorum is met, the grant. `authors` are user names, `evidence` the
        outcomes of the gates now.

        Counted are all votes that the ledger holds of this promotion and digest, not only those given now.
        """
        digest = promotion.release.digest
        async with self._database.transaction() as connection:
            for vote in votes:
                await _store(connection, promotion, digest, vote)
            rows = await all_rows(
                connection, f"{_VOTES} AND digest = %s ORDER BY number", (promotion.id, digest)
            )
            counted = [_vote(row) for row in rows]
            result = quorum(rule, counted, promotion.requested_by, authors, evidence=evidence, now=now)
            if result.met:
                await _grant(connection, promotion, digest, rule, result, evidence, now)
            else:
                await _void(connection, promotion.id, digest, result.void, now)
        return result

    async def void(self, promotion_id: str, digest: str, reasons: Iterable[str], now: datetime) -> None:
        """Write down that votes did not let their release start. Each reason is said once."""
        async with self._database.transaction() as connection:
            await _void(connection, promotion_id, digest, reasons, now)

    async def voids(self, promotion_id: str) -> tuple[Void, ...]:
        """Oldest first."""
        rows = await self._database.all(
            "SELECT * FROM voids WHERE promotion_id = %s ORDER BY number", (promotion_id,)
        )
        return tuple(Void(row["digest"], row["why"], row["at"]) for row in rows)

    async def granted(self, service: str, environment: str, digest: str) -> Grant | None:
        """The newest grant of this digest there."""
        row = await self._database.one(
            f"{_GRANTS} WHERE service = %s AND environment = %s AND digest = %s ORDER BY at DESC LIMIT 1",
            (service, environment, digest),
        )
        return _to_grant(row) if row else None

    async def standing(self, service: str, environment: str, digest: str) -> Standing:
        grant = await self.granted(service, environment, digest)
        if grant is None:
            return Standing(None, (), (), False)
        voids = tuple(
            void
            for void in await self.voids(grant.promotion_id)
            if void.digest == digest and void.at >= grant.at
        )
        votes = await self.votes(grant.promotion_id)
        return Standing(grant, votes, voids, await self._carried(service, environment, digest))

    async def votes(self, promotion_id: str) -> tuple[Vote, ...]:
        rows = await self._database.all(f"{_VOTES} ORDER BY number", (promotion_id,))
        return tuple(_vote(row) for row in rows)

    async def grants(
        self, service: str, environment: str | None = None, limit: int = 50
    ) -> tuple[Grant, ...]:
        """Newest first."""
        rows = await self._database.all(
            f"{_GRANTS} WHERE service = %(service)s"
            " AND (%(environment)s::text IS NULL OR environment = %(environment)s)"
            " ORDER BY at DESC LIMIT %(limit)s",
            {"service": service, "environment": environment, "limit": limit},
        )
        return tuple(_to_grant(row) for row in rows)

    async def _carried(self, service: str, environment: str, digest: str) -> bool:
        """Whether the digest was promoted there and did not go back, serves beside the rollout that is not
        over, or is that rollout's own and has had traffic. An intent is no traffic: a start that was only
        announced may still be refused."""
        row = await self._database.one(
            "SELECT EXISTS (SELECT FROM (SELECT outcome FROM promotions WHERE service = %(service)s"
            "   AND environment = %(environment)s AND digest = %(digest)s"
            "   AND outcome IN ('promoted', 'rolled_back') ORDER BY ended_at DESC LIMIT 1) AS newest"
            "   WHERE outcome = 'promoted')"
            " OR EXISTS (SELECT FROM rollouts WHERE service = %(service)s AND environment = %(environment)s"
            "   AND phase NOT IN ('Reclaimed', 'RolledBack') AND (previous_digest = %(digest)s"
            "   OR (release ->> 'digest' = %(digest)s AND EXISTS (SELECT FROM journal"
            "     WHERE journal.rollout_id = rollouts.id AND kind = 'done' AND what IN ('Shift', 'Confirm')"
            "     AND (detail -> 'weights' ->> rollouts.colour)::integer > 0)))) AS carried",
            {"service": service, "environment": environment, "digest": digest},
        )
        return bool(row and row["carried"])


async def _store(connection: Connection, promotion: Promotion, digest: str, vote: Vote) -> None:
    await connection.execute(
        "INSERT INTO votes (promotion_id, service, environment, digest, role, user_name, option, at,"
        " evidence) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            promotion.id,
            promotion.service,
            promotion.environment,
            digest,
            vote.role,
            vote.user,
            vote.option,
            vote.at,
            await keep_evidence(connection, vote.evidence),
        ),
    )


async def _grant(
    connection: Connection,
    promotion: Promotion,
    digest: str,
    rule: ApprovalRule,
    result: QuorumResult,
    evidence: Evidence,
    now: datetime,
) -> None:
    await connection.execute(
        "INSERT INTO grants (promotion_id, service, environment, digest, required, voters, at, evidence,"
        " expires) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            promotion.id,
            promotion.service,
            promotion.environment,
            digest,
            Jsonb(dict(rule.required)),
            [vote.user for vote in result.counted],
            now,
            await keep_evidence(connection, evidence),
            rule.expires,
        ),
    )


async def _void(
    connection: Connection, promotion_id: str, digest: str, reasons: Iterable[str], now: datetime
) -> None:
    for why in reasons:
        await connection.execute(
            "INSERT INTO voids (promotion_id, digest, why, at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (promotion_id, digest, why, now),
        )


def _vote(row: Row) -> Vote:
    return Vote(row["role"], row["user_name"], row["option"], row["at"], to_evidence(row["outcomes"]))


def _to_grant(row: Row) -> Grant:
    return Grant(
        row["service"],
        row["environment"],
        row["digest"],
        str(row["promotion_id"]),
        row["required"],
        tuple(row["voters"]),
        row["at"],
        to_evidence(row["outcomes"]),
        row["expires"],
    )
