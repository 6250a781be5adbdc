"""What voters were shown: outcomes of gates under their fingerprint, and the ballots that name it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from platform_ops.core.evidence import Evidence, Outcome

from .database import Connection, one_row


async def keep_evidence(connection: Connection, evidence: Evidence) -> str:
    """Store it unless it is there; returns its fingerprint."""
    outcomes = [[one.gate, one.subject, one.outcome] for one in evidence.outcomes]
    await connection.execute(
        "INSERT INTO evidence (fingerprint, outcomes) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (evidence.fingerprint, Jsonb(outcomes)),
    )
    return evidence.fingerprint


def to_evidence(outcomes: list[list[Any]] | None) -> Evidence:
    """Of the column `outcomes`; None, which an older version left, is evidence of nothing."""
    return Evidence(tuple(Outcome(*one) for one in outcomes or ()))


async def show_ballot(
    connection: Connection, promotion_id: str, seat: str, evidence: Evidence, now: datetime
) -> None:
    """Note what the person in a seat is about to read."""
    fingerprint = await keep_evidence(connection, evidence)
    await connection.execute(
        "INSERT INTO ballots (promotion_id, seat, evidence, at) VALUES (%s, %s, %s, %s)",
        (promotion_id, seat, fingerprint, now),
    )


async def shown_on(connection: Connection, promotion_id: str, seat: str, before: datetime) -> Evidence:
    """What the seat was shown last before that time."""
    row = await one_row(
        connection,
        "SELECT outcomes FROM ballots JOIN evidence ON evidence.fingerprint = ballots.evidence"
        " WHERE promotion_id = %s AND seat = %s AND at <= %s ORDER BY number DESC LIMIT 1",
        (promotion_id, seat, before),
    )
    return to_evidence(row["outcomes"] if row else None)
