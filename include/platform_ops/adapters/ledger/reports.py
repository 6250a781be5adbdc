"""Runs that Airflow is to start, kept until it has: an outbox for red runs."""

from __future__ import annotations

from platform_ops.core.ports import Clock
from platform_ops.core.reports import Report

from .database import Database, Row


class ReportTable:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def ask(self, report: Report) -> bool:
        """False when the rollout has its report already; that one stays as it is."""
        row = await self._database.one(
            "INSERT INTO reports (rollout_id, dag_id, run_id, asked_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (rollout_id) DO NOTHING RETURNING rollout_id",
            (report.rollout_id, report.dag_id, report.run_id, report.asked_at),
        )
        return row is not None

    async def of_run(self, dag_id: str, run_id: str) -> Report | None:
        row = await self._database.one(
            "SELECT * FROM reports WHERE dag_id = %s AND run_id = %s", (dag_id, run_id)
        )
        return _report(row) if row else None

    async def waiting(self) -> tuple[Report, ...]:
        """What Airflow has not taken yet, oldest first."""
        rows = await self._database.all(
            "SELECT * FROM reports WHERE started_at IS NULL ORDER BY asked_at LIMIT 100"
        )
        return tuple(_report(row) for row in rows)

    async def mark_started(self, rollout_id: str) -> None:
        await self._database.one(
            "UPDATE reports SET started_at = %s, attempts = attempts + 1, last_error = ''"
            " WHERE rollout_id = %s AND started_at IS NULL",
            (self._clock.now(), rollout_id),
        )

    async def mark_failed(self, rollout_id: str, error: str) -> None:
        await self._database.one(
            "UPDATE reports SET attempts = attempts + 1, last_error = %s"
            " WHERE rollout_id = %s AND started_at IS NULL",
            (error[:500], rollout_id),
        )


def _report(row: Row) -> Report:
    return Report(**{**row, "rollout_id": str(row["rollout_id"])})
