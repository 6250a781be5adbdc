"""The two ports of the service: a cache of verdicts, and a store. Each has in-process and shared adapters.

Methods of `Store` raise `StoreUnavailable` when nothing was confirmed, `Conflict` and `NotFound` as they say.
`VerdictCache` never raises: a cache that is away is a cache that knows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from analyzer.storage.records import (
    ApiKey,
    Arm,
    Count,
    CountBatch,
    CountKey,
    Experiment,
    ModelVersion,
    Snapshot,
    TrainingJob,
)


class VerdictCache(Protocol):
    """Serialised verdicts by key. Keys and entries hold no value."""

    async def get_many(self, version: str, keys: Sequence[str]) -> list[bytes | None]: ...

    async def put_many(self, version: str, entries: Mapping[str, bytes]) -> None: ...

    async def drop(self, version: str) -> None:
        """Forgets all verdicts of a model version."""

    async def ping(self) -> None:
        """Raises `StoreUnavailable` when the cache is away."""

    async def close(self) -> None: ...


class Store(Protocol):
    """What outlives a process."""

    async def open(self) -> None:
        """Makes what connects later possible; does not need the store to be there."""

    async def close(self) -> None: ...

    async def ping(self) -> None: ...

    async def snapshot(self) -> Snapshot: ...

    async def create_version(self, version: ModelVersion) -> None:
        """`Conflict` when the name is taken."""

    async def start_experiment(self, arms: Sequence[Arm], now: datetime) -> Experiment:
        """`Conflict` while another one runs."""

    async def end_experiment(self, now: datetime, promoted: str | None, active: str | None) -> Experiment:
        """Ends the one that runs; with `promoted`, makes `active` (None: built in) the version in service."""

    async def activate(self, name: str | None) -> None:
        """The version in service outside of experiments. `Conflict` while an experiment runs."""

    async def add_counts(self, batch: CountBatch) -> None:
        """Idempotent by the batch's id."""

    async def counts(self) -> dict[CountKey, Count]: ...

    async def create_key(self, key: ApiKey) -> None: ...

    async def rotate_key(self, key_id: str, successor: ApiKey, expires_at: datetime) -> None:
        """Adds `successor` and lets `key_id` end at `expires_at`. `Conflict` when the client has two."""

    async def revoke_key(self, key_id: str, now: datetime) -> None: ...

    async def create_job(self, job: TrainingJob) -> None: ...

    async def save_job(self, job: TrainingJob, version: ModelVersion | None = None) -> None:
        """Replaces a job that has not ended; with `version`, registers its model in the same transaction."""

    async def job(self, job_id: UUID) -> TrainingJob: ...
