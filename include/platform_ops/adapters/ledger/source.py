"""What promotions bring and what they did in git. Insert-only: the first account of a promotion stays."""

from __future__ import annotations

from dataclasses import asdict

from psycopg.types.json import Jsonb

from platform_ops.core.changelog import Changelog, Line
from platform_ops.core.ports import Clock
from platform_ops.core.records import BranchMove

from .database import Database, Row


class SourceTable:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def write_changelog(self, promotion_id: str, log: Changelog) -> None:
        """Idempotent: what voters may have read already is not written again."""
        await self._database.one(
            "INSERT INTO changelogs (promotion_id, content, at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (promotion_id, Jsonb(asdict(log)), self._clock.now()),
        )

    async def changelog(self, promotion_id: str) -> Changelog | None:
        row = await self._database.one(
            "SELECT content FROM changelogs WHERE promotion_id = %s", (promotion_id,)
        )
        return _changelog(row) if row else None

    async def write_move(self, promotion_id: str, branch: str, commit: str, tag: str = "") -> None:
        """Idempotent."""
        await self._database.one(
            "INSERT INTO branch_moves (promotion_id, branch, commit_id, tag, at) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (promotion_id, branch, commit, tag, self._clock.now()),
        )

    async def moves(self, promotion_id: str) -> tuple[BranchMove, ...]:
        """Oldest first."""
        rows = await self._database.all(
            "SELECT * FROM branch_moves WHERE promotion_id = %s ORDER BY at, branch", (promotion_id,)
        )
        return tuple(BranchMove(row["branch"], row["commit_id"], row["tag"], row["at"]) for row in rows)


def _changelog(row: Row) -> Changelog:
    content = row["content"]
    return Changelog(**{**content, "lines": tuple(Line(**line) for line in content["lines"])})
