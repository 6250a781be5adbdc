"""Releases, promotions and gate results."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from platform_ops.core.errors import GateClosed, Held, NotFound
from platform_ops.core.gates import PASSED
from platform_ops.core.ports import Clock
from platform_ops.core.records import GateResult, Promotion
from platform_ops.core.release import Release

from .database import Database, Row, one_row

_ASK_TRIES = 150
_ASK_PAUSE = timedelta(seconds=0.2)


class ReleaseTable:
    """Built artefacts; a name and a digest are given once."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(self, release: Release, *, built_by_run: str) -> None:
        """Idempotent. GateClosed when the name already stands for another digest: nothing is built twice."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO releases (service, name, version, commit_id, digest, built_by_run, built_at) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (
                    release.service,
                    release.name,
                    release.version,
                    release.commit,
                    release.digest,
                    built_by_run,
                    self._clock.now(),
                ),
            )
            row = await one_row(
                connection,
                "SELECT * FROM releases WHERE service = %s AND (name = %s OR digest = %s)",
                (release.service, release.name, release.digest),
            )
        if row is None or _release(row) != release:
            known = f"{row['name']} is {row['digest']}" if row else "it was not stored"
            raise GateClosed(f"{release.name} of {release.service} cannot be {release.digest}: {known}")

    async def find(self, service: str, name: str) -> Release | None:
        """By name or digest."""
        row = await self._database.one(
            "SELECT * FROM releases WHERE service = %s AND (name = %s OR digest = %s)", (service, name, name)
        )
        return _release(row) if row else None

    async def of(self, service: str, limit: int = 50) -> tuple[Release, ...]:
        """Newest first."""
        rows = await self._database.all(
            "SELECT * FROM releases WHERE service = %s ORDER BY built_at DESC LIMIT %s", (service, limit)
        )
        return tuple(_release(row) for row in rows)


class PromotionTable:
    """One row per run that brings a release into an environment."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def open(
        self,
        *,
        dag_id: str,
        run_id: str,
        service: str,
        environment: str,
        commit: str,
        version: str,
        digest: str | None,
        requested_by: str,
        url: str,
        fixes: Sequence[str] = (),
    ) -> Promotion:
        """Idempotent per run: what was written first stays (a branch that moved on changes nothing)."""
        await self._database.one(
            "INSERT INTO promotions (id, dag_id, run_id, service, environment, commit_id, version, digest,"
            " requested_by, url, started_at, fixes)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (dag_id, run_id) DO NOTHING",
            (
                uuid.uuid4(),
                dag_id,
                run_id,
                service,
                environment,
                commit,
                version,
                digest,
                requested_by,
                url,
                self._clock.now(),
                list(fixes),
            ),
        )
        return await self.of_run(dag_id, run_id)

    async def of_run(self, dag_id: str, run_id: str) -> Promotion:
        row = await self._database.one(
            "SELECT * FROM promotions WHERE dag_id = %s AND run_id = %s", (dag_id, run_id)
        )
        if row is None:
            raise NotFound(
                f"The ledger holds no promotion of run {run_id} of {dag_id}: the task `resolve` comes first"
            )
        return _promotion(row)

    async def get(self, promotion_id: str) -> Promotion:
        row = await self._database.one("SELECT * FROM promotions WHERE id = %s", (promotion_id,))
        if row is None:
            raise NotFound(f"The ledger holds no promotion {promotion_id}")
        return _promotion(row)

    async def set_digest(self, promotion_id: str, digest: str) -> None:
        """Once; GateClosed when the promotion already stands for another digest."""
        await self._database.one(
            "UPDATE promotions SET digest = %s WHERE id = %s AND digest IS NULL", (digest, promotion_id)
        )
        promotion = await self.get(promotion_id)
        if promotion.digest != digest:
            raise GateClosed(f"This promotion is of {promotion.digest}; it cannot become {digest}")

    async def finish(self, promotion_id: str, outcome: str) -> None:
        """A cleared run may still succeed; what was rolled back stays so."""
        await self._database.one(
            "UPDATE promotions SET outcome = %s, ended_at = %s"
            " WHERE id = %s AND outcome <> 'rolled_back'"
            " AND (outcome <> 'promoted' OR %s = 'rolled_back')",
            (outcome, self._clock.now(), promotion_id, outcome),
        )

    @asynccontextmanager
    async def asking(self, service: str, environment: str) -> AsyncIterator[None]:
        """One at a time asks for a promotion there: whoever comes next sees what the one before started.

        Held when the others take longer than about half a minute.
        """
        key = f"{service}/{environment}"
        async with self._database.transaction() as connection:
            for _ in range(_ASK_TRIES):
                row = await one_row(
                    connection, "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0)) AS mine", (key,)
                )
                if row and row["mine"]:
                    break
                await self._clock.sleep(_ASK_PAUSE)
            else:
                raise Held(f"many ask for a promotion of {service} to {environment} at once: try again")
            yield

    async def verified(self, service: str, environment: str, limit: int = 50) -> tuple[Release, ...]:
        """Releases whose newest promotion there ended well, newest first."""
        rows = await self._database.all(
            "SELECT * FROM (SELECT DISTINCT ON (digest) * FROM promotions"
            " WHERE service = %s AND environment = %s AND outcome IN ('promoted', 'rolled_back')"
            " ORDER BY digest, ended_at DESC) AS newest"
            " WHERE outcome = 'promoted' ORDER BY ended_at DESC LIMIT %s",
            (service, environment, limit),
        )
        return tuple(_promotion(row).release for row in rows)

    async def seen(self, service: str, environment: str, commit: str) -> bool:
        """Whether any promotion there, whatever its outcome, was of this commit."""
        row = await self._database.one(
            "SELECT 1 AS found FROM promotions"
            " WHERE service = %s AND environment = %s AND commit_id = %s LIMIT 1",
            (service, environment, commit),
        )
        return row is not None

    async def of(
        self, service: str, environment: str | None = None, limit: int = 50
    ) -> tuple[Promotion, ...]:
        """Newest first."""
        rows = await self._database.all(
            "SELECT * FROM promotions WHERE service = %(service)s"
            " AND (%(environment)s::text IS NULL OR environment = %(environment)s)"
            " ORDER BY started_at DESC LIMIT %(limit)s",
            {"service": service, "environment": environment, "limit": limit},
        )
        return tuple(_promotion(row) for row in rows)


class GateTable:
    """Outcomes of gates for a commit or a digest. Insert-only: the newest counts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def record(
        self,
        *,
        service: str,
        subject: str,
        gate: str,
        outcome: str,
        detail: Mapping[str, Any],
        input_digest: str = "",
    ) -> None:
        """`input_digest` names all that the outcome depends on; empty: it is never taken for another run."""
        await self._database.one(
            "INSERT INTO gates (service, subject, gate, outcome, detail, at, input_digest)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (service, subject, gate, outcome, Jsonb(dict(detail)), self._clock.now(), input_digest),
        )

    async def latest(self, service: str, subject: str, gate: str) -> GateResult | None:
        row = await self._database.one(
            "SELECT * FROM gates WHERE service = %s AND subject = %s AND gate = %s"
            " ORDER BY number DESC LIMIT 1",
            (service, subject, gate),
        )
        return _gate_result(row) if row else None

    async def of(self, service: str, subjects: Sequence[str]) -> tuple[GateResult, ...]:
        """The newest result of each gate and subject, in the order of gate and subject."""
        rows = await self._database.all(
            "SELECT DISTINCT ON (gate, subject) * FROM gates WHERE service = %s AND subject = ANY(%s)"
            " ORDER BY gate, subject, number DESC",
            (service, list(subjects)),
        )
        return tuple(_gate_result(row) for row in rows)

    async def passed_with(self, service: str, gate: str, input_digest: str) -> GateResult | None:
        """The newest result of equal inputs, if that one has passed."""
        row = await self._database.one(
            "SELECT * FROM gates WHERE service = %s AND gate = %s AND input_digest = %s"
            " ORDER BY number DESC LIMIT 1",
            (service, gate, input_digest),
        )
        return _gate_result(row) if row and row["outcome"] == PASSED else None


def _release(row: Row) -> Release:
    return Release(row["service"], row["version"], row["commit_id"], row["digest"])


def _gate_result(row: Row) -> GateResult:
    return GateResult(
        row["service"],
        row["subject"],
        row["gate"],
        row["outcome"],
        row["detail"],
        row["at"],
        row["input_digest"],
    )


def _promotion(row: Row) -> Promotion:
    return Promotion(
        id=str(row["id"]),
        dag_id=row["dag_id"],
        run_id=row["run_id"],
        service=row["service"],
        environment=row["environment"],
        commit=row["commit_id"],
        version=row["version"],
        digest=row["digest"],
        requested_by=row["requested_by"],
        url=row["url"],
        started_at=row["started_at"],
        outcome=row["outcome"],
        ended_at=row["ended_at"],
        fixes=tuple(row["fixes"]),
    )
