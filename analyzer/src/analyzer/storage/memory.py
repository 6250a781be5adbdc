"""Both ports inside one process: what `serve` uses without Redis and PostgreSQL, and tests everywhere."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from analyzer.storage.records import (
    ApiKey,
    Arm,
    Conflict,
    Count,
    CountBatch,
    CountKey,
    Experiment,
    ModelVersion,
    NotFound,
    Snapshot,
    TrainingJob,
)


class MemoryCache:
    """The verdicts used last, at most `capacity` of them."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def get_many(self, version: str, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for key in keys:
            entry = self._entries.get((version, key))
            if entry is not None:
                self._entries.move_to_end((version, key))
            found.append(entry)
        return found

    async def put_many(self, version: str, entries: Mapping[str, bytes]) -> None:
        for key, entry in entries.items():
            self._entries[version, key] = entry
            self._entries.move_to_end((version, key))
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    async def drop(self, version: str) -> None:
        for key in [key for key in self._entries if key[0] == version]:
            del self._entries[key]

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        self._entries.clear()


class MemoryStore:
    """Everything is gone with the process, and says so in `/health/detailed`."""

    def __init__(self) -> None:
        self._versions: dict[str, ModelVersion] = {}
        self._active: str | None = None
        self._experiments: list[Experiment] = []
        self._keys: dict[str, ApiKey] = {}
        self._jobs: dict[UUID, TrainingJob] = {}
        self._counts: dict[CountKey, Count] = {}
        self._batches: set[UUID] = set()

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def ping(self) -> None:
        return

    @property
    def _running(self) -> Experiment | None:
        last = self._experiments[-1] if self._experiments else None
        return last if last is not None and last.ended_at is None else None

    async def snapshot(self) -> Snapshot:
        return Snapshot(dict(self._versions), self._active, self._running, tuple(self._keys.values()))

    async def create_version(self, version: ModelVersion) -> None:
        if version.name in self._versions:
            raise Conflict(f"a version named {version.name!r} exists already")
        self._versions[version.name] = version

    async def start_experiment(self, arms: Sequence[Arm], now: datetime) -> Experiment:
        if self._running is not None:
            raise Conflict(f"experiment {self._running.id} runs already; end it first")
        self._experiments.append(Experiment(len(self._experiments) + 1, tuple(arms), now))
        return self._experiments[-1]

    async def end_experiment(self, now: datetime, promoted: str | None, active: str | None) -> Experiment:
        running = self._running
        if running is None:
            raise Conflict("no experiment runs")
        if promoted is not None:
            self._require(active)
            self._active = active
        self._experiments[-1] = replace(running, ended_at=now, promoted=promoted)
        return self._experiments[-1]

    async def activate(self, name: str | None) -> None:
        if self._running is not None:
            raise Conflict(f"experiment {self._running.id} runs; end it first")
        self._require(name)
        self._active = name

    def _require(self, name: str | None) -> None:
        if name is not None and name not in self._versions:
            raise NotFound(f"no version is named {name!r}")

    async def add_counts(self, batch: CountBatch) -> None:
        if batch.id in self._batches:
            return
        self._batches.add(batch.id)
        for key, count in batch.counts.items():
            self._counts.setdefault(key, Count()).add(count)
        for key_id, used in batch.keys_used.items():
            known = self._keys.get(key_id)
            if known is not None and (known.last_used_at is None or known.last_used_at < used):
                self._keys[key_id] = replace(known, last_used_at=used)

    async def counts(self) -> dict[CountKey, Count]:
        return {key: replace(count) for key, count in self._counts.items()}

    async def create_key(self, key: ApiKey) -> None:
        if any(known.client == key.client and known.valid(key.created_at) for known in self._keys.values()):
            raise Conflict(f"client {key.client!r} has a valid key; rotate or revoke it")
        self._keys[key.id] = key

    async def rotate_key(self, key_id: str, successor: ApiKey, expires_at: datetime) -> None:
        old = self._valid(key_id, successor.created_at)
        valid = [
            key for key in self._keys.values()
            if key.client == old.client and key.valid(successor.created_at)
        ]  # fmt: skip
        if len(valid) > 1:
            raise Conflict(f"client {old.client!r} has two valid keys already; wait or revoke one")
        self._keys[key_id] = replace(old, expires_at=min(expires_at, old.expires_at or expires_at))
        self._keys[successor.id] = replace(successor, client=old.client, scopes=old.scopes)

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        self._keys[key_id] = replace(self._valid(key_id, now), revoked_at=now)

    def _valid(self, key_id: str, now: datetime) -> ApiKey:
        key = self._keys.get(key_id)
        if key is None or not key.valid(now):
            raise NotFound(f"no valid key has the id {key_id!r}")
        return key

    async def create_job(self, job: TrainingJob) -> None:
        self._jobs[job.id] = job

    async def save_job(self, job: TrainingJob, version: ModelVersion | None = None) -> None:
        if (await self.job(job.id)).status.ended:
            raise Conflict(f"job {job.id} has ended")
        if version is not None:
            await self.create_version(version)
        self._jobs[job.id] = job

    async def job(self, job_id: UUID) -> TrainingJob:
        if job_id not in self._jobs:
            raise NotFound(f"no job has the id {job_id}")
        return self._jobs[job_id]
