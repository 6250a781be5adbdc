"""Hotfixes and what is left to do after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from platform_ops.core.hotfix import Hotfix
from platform_ops.core.ports import Clock
from platform_ops.core.records import Promotion

from .database import Database, Row


class HotfixTable:
    """One row a hotfix. What it is of never changes; where it is missing, and its end, do."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def open(self, promotion: Promotion, *, why: str, incident: str, branches: Sequence[str]) -> Hotfix:
        """Idempotent per promotion. `branches` are those that have to hold the commit in the end."""
        await self._database.one(
            "INSERT INTO hotfixes (promotion_id, service, commit_id, version, why, incident, missing,"
            " opened_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                promotion.id,
                promotion.service,
                promotion.commit,
                promotion.version,
                why,
                incident,
                list(branches),
                self._clock.now(),
            ),
        )
        (found,) = await self._rows("WHERE promotion_id = %(promotion)s", promotion=promotion.id)
        return found

    async def of_promotion(self, promotion_id: str) -> Hotfix | None:
        found = await self._rows("WHERE promotion_id = %(promotion)s", promotion=promotion_id)
        return found[0] if found else None

    async def unmerged(self, service: str | None = None) -> tuple[Hotfix, ...]:
        """Whose follow-up is open, oldest first; of one service or of all."""
        return await self._rows(
            "WHERE closed_at IS NULL AND (%(service)s::text IS NULL OR service = %(service)s)",
            service=service,
        )

    async def looked(self, promotion_id: str, missing: Sequence[str]) -> None:
        """Write down which branches do not hold the commit yet."""
        await self._database.one(
            "UPDATE hotfixes SET missing = %s WHERE promotion_id = %s AND closed_at IS NULL",
            (list(missing), promotion_id),
        )

    async def close(self, promotion_id: str, because: str) -> None:
        """The first end stays."""
        await self._database.one(
            "UPDATE hotfixes SET closed_at = %s, closed_because = %s"
            " WHERE promotion_id = %s AND closed_at IS NULL",
            (self._clock.now(), because, promotion_id),
        )

    async def _rows(self, where: LiteralString, **parameters: str | None) -> tuple[Hotfix, ...]:
        rows = await self._database.all(f"SELECT * FROM hotfixes {where} ORDER BY opened_at", parameters)
        return tuple(_hotfix(row) for row in rows)


def _hotfix(row: Row) -> Hotfix:
    return Hotfix(
        promotion_id=str(row["promotion_id"]),
        service=row["service"],
        commit=row["commit_id"],
        version=row["version"],
        why=row["why"],
        incident=row["incident"],
        missing=tuple(row["missing"]),
        opened_at=row["opened_at"],
        closed_at=row["closed_at"],
        closed_because=row["closed_because"],
    )
