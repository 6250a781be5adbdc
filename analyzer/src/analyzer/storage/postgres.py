"""The store in PostgreSQL, shared by all processes. Each change is acknowledged after its commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from analyzer.storage.database import Connection, Database, Row
from analyzer.storage.records import (
    ApiKey,
    Arm,
    Conflict,
    Count,
    CountBatch,
    CountKey,
    Experiment,
    JobStatus,
    ModelVersion,
    NotFound,
    Scope,
    Snapshot,
    TrainingJob,
)

_BATCHES_KEPT = "7 days"
"""Far longer than any process tries to send a batch again."""


class PostgresStore:
    """`Store` over the tables of `migrations/`."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def ping(self) -> None:
        await self._database.ping()

    async def snapshot(self) -> Snapshot:
        async with self._database.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            versions = await (await connection.execute("SELECT * FROM versions")).fetchall()
            active = await (await connection.execute("SELECT name FROM active_version")).fetchone()
            keys = await (
                await connection.execute(
                    "SELECT * FROM keys WHERE revoked_at IS NULL OR revoked_at > now() - interval '30 days'"
                    " ORDER BY created_at"
                )
            ).fetchall()
            experiment = await _running(connection)
        return Snapshot(
            {row["name"]: ModelVersion(**row) for row in versions},
            active["name"] if active else None,
            experiment,
            tuple(_key(row) for row in keys),
        )

    async def create_version(self, version: ModelVersion) -> None:
        async with self._database.transaction() as connection:
            await _insert_version(connection, version)

    async def start_experiment(self, arms: Sequence[Arm], now: datetime) -> Experiment:
        sql = "INSERT INTO experiments (arms, started_at) VALUES (%(arms)s, %(now)s) RETURNING *"
        try:
            rows = await self._database.all(sql, {"arms": Jsonb([asdict(arm) for arm in arms]), "now": now})
        except UniqueViolation:
            raise Conflict("an experiment runs already; end it first") from None
        return _experiment(rows[0])

    async def end_experiment(self, now: datetime, promoted: str | None, active: str | None) -> Experiment:
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                "UPDATE experiments SET ended_at = greatest(%(now)s, started_at), promoted = %(promoted)s"
                " WHERE ended_at IS NULL RETURNING *",
                {"now": now, "promoted": promoted},
            )
            row = await cursor.fetchone()
            if row is None:
                raise Conflict("no experiment runs")
            if promoted is not None:
                await _activate(connection, active)
            return _experiment(row)

    async def activate(self, name: str | None) -> None:
        async with self._database.transaction() as connection:
            running = await _running(connection)
            if running is not None:
                raise Conflict(f"experiment {running.id} runs; end it first")
            await _activate(connection, name)

    async def add_counts(self, batch: CountBatch) -> None:
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                "INSERT INTO batches (id) VALUES (%s) ON CONFLICT DO NOTHING", (batch.id,)
            )
            if cursor.rowcount == 0:
                return
            await _add(connection, batch)
            await connection.execute(
                "DELETE FROM batches WHERE added_at < now() - %s::interval", (_BATCHES_KEPT,)
            )

    async def counts(self) -> dict[CountKey, Count]:
        rows = await self._database.all("SELECT * FROM counts")
        return {
            CountKey(r["experiment"], r["version"], r["secret_type"], r["risk_level"], r["is_secret"]): Count(
                r["verdicts"], r["probability"]
            )
            for r in rows
        }

    async def create_key(self, key: ApiKey) -> None:
        async with self._database.transaction() as connection:
            if await _valid_keys(connection, key.client, key.created_at):
                raise Conflict(f"client {key.client!r} has a valid key; rotate or revoke it")
            await _insert_key(connection, key)

    async def rotate_key(self, key_id: str, successor: ApiKey, expires_at: datetime) -> None:
        now = successor.created_at
        async with self._database.transaction() as connection:
            cursor = await connection.execute("SELECT * FROM keys WHERE id = %s", (key_id,))
            row = await cursor.fetchone()
            if row is None or not _key(row).valid(now):
                raise NotFound(f"no valid key has the id {key_id!r}")
            old = _key(row)
            if await _valid_keys(connection, old.client, now) > 1:
                raise Conflict(f"client {old.client!r} has two valid keys already; wait or revoke one")
            await connection.execute(
                "UPDATE keys SET expires_at = least(expires_at, %s) WHERE id = %s", (expires_at, key_id)
            )
            new = asdict(successor) | {"client": old.client, "scopes": old.scopes}
            await _insert_key(connection, ApiKey(**new))

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        changed = await self._database.run(
            "UPDATE keys SET revoked_at = %(now)s WHERE id = %(id)s AND revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > %(now)s)",
            {"id": key_id, "now": now},
        )
        if changed == 0:
            raise NotFound(f"no valid key has the id {key_id!r}")

    async def create_job(self, job: TrainingJob) -> None:
        await self._database.run(
            "INSERT INTO jobs (id, status, rows, created_at, created_by, heartbeat_at)"
            " VALUES (%(id)s, %(status)s, %(rows)s, %(created_at)s, %(created_by)s, %(heartbeat_at)s)",
            asdict(job),
        )

    async def save_job(self, job: TrainingJob, version: ModelVersion | None = None) -> None:
        async with self._database.transaction() as connection:
            if version is not None:
                await _insert_version(connection, version)
            cursor = await connection.execute(
                "UPDATE jobs SET status = %(status)s, heartbeat_at = %(heartbeat_at)s,"
                " ended_at = %(ended_at)s, problem = %(problem)s, version = %(version)s,"
                " figures = %(figures)s WHERE id = %(id)s AND ended_at IS NULL",
                asdict(job) | {"figures": Jsonb(job.figures) if job.figures is not None else None},
            )
            if cursor.rowcount == 0:
                raise Conflict(f"job {job.id} has ended or does not exist")

    async def job(self, job_id: UUID) -> TrainingJob:
        rows = await self._database.all("SELECT * FROM jobs WHERE id = %(id)s", {"id": job_id})
        if not rows:
            raise NotFound(f"no job has the id {job_id}")
        return TrainingJob(**rows[0] | {"status": JobStatus(rows[0]["status"])})


async def _running(connection: Connection) -> Experiment | None:
    cursor = await connection.execute("SELECT * FROM experiments WHERE ended_at IS NULL")
    row = await cursor.fetchone()
    return _experiment(row) if row is not None else None


async def _activate(connection: Connection, name: str | None) -> None:
    if name is not None:
        cursor = await connection.execute("SELECT name FROM versions WHERE name = %s", (name,))
        if await cursor.fetchone() is None:
            raise NotFound(f"no version is named {name!r}")
    await connection.execute("UPDATE active_version SET name = %s", (name,))


async def _insert_version(connection: Connection, version: ModelVersion) -> None:
    try:
        await connection.execute(
            "INSERT INTO versions (name, document, sha256, source, description, created_at, created_by)"
            " VALUES (%(name)s, %(document)s, %(sha256)s, %(source)s, %(description)s, %(created_at)s,"
            " %(created_by)s)",
            vars(version) | {"document": Jsonb(version.document)},
        )
    except UniqueViolation:
        raise Conflict(f"a version named {version.name!r} exists already") from None


async def _valid_keys(connection: Connection, client: str, now: datetime) -> int:
    # Held to the end of the transaction, so that two requests cannot both see one key.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (client,))
    cursor = await connection.execute(
        "SELECT count(*) AS valid FROM keys WHERE client = %(client)s AND revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > %(now)s)",
        {"client": client, "now": now},
    )
    row = await cursor.fetchone()
    return int(row["valid"]) if row else 0


async def _insert_key(connection: Connection, key: ApiKey) -> None:
    await connection.execute(
        "INSERT INTO keys (id, client, digest, scopes, created_at, expires_at) VALUES"
        " (%(id)s, %(client)s, %(digest)s, %(scopes)s, %(created_at)s, %(expires_at)s)",
        vars(key) | {"scopes": sorted(key.scopes)},
    )


async def _add(connection: Connection, batch: CountBatch) -> None:
    # Always in the same order: two processes that add at once wait for each other instead of deadlocking.
    ordered = sorted(batch.counts.items(), key=lambda item: str(item[0]))
    rows = [asdict(key) | asdict(count) for key, count in ordered]
    used = [{"id": key_id, "used": used} for key_id, used in sorted(batch.keys_used.items())]
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO counts VALUES (%(experiment)s, %(version)s, %(secret_type)s, %(risk_level)s,"
            " %(is_secret)s, %(verdicts)s, %(probability)s)"
            " ON CONFLICT (experiment, version, secret_type, risk_level, is_secret) DO UPDATE SET"
            " verdicts = counts.verdicts + excluded.verdicts,"
            " probability = counts.probability + excluded.probability",
            rows,
        )
        await cursor.executemany(
            "UPDATE keys SET last_used_at = greatest(last_used_at, %(used)s) WHERE id = %(id)s", used
        )


def _experiment(row: Row) -> Experiment:
    arms = tuple(Arm(**arm) for arm in row["arms"])
    return Experiment(row["id"], arms, row["started_at"], row["ended_at"], row["promoted"])


def _key(row: Row) -> ApiKey:
    return ApiKey(**row | {"scopes": frozenset(Scope(scope) for scope in row["scopes"])})
