"""The rows that the service keeps. None of them holds a value that was analysed, nor an API key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID


class Conflict(Exception):
    """The world is not as the request needs it: a name is taken, an experiment runs. The message says how."""


class NotFound(Exception):
    """Nothing has that name."""


class StoreUnavailable(Exception):
    """The store did not answer or did not confirm: nothing may be acknowledged. Try again later."""


class Scope(StrEnum):
    """What an API key may do; none includes another."""

    ANALYZE = "analyze"
    TRAIN = "train"
    ADMIN = "admin"


@dataclass(frozen=True)
class ModelVersion:
    """A model that was registered under a name. `document` is the calibrator's JSON."""

    name: str
    document: Mapping[str, object]
    sha256: str
    source: str
    """`upload` or `job`."""
    created_at: datetime
    created_by: str
    description: str = ""


@dataclass(frozen=True)
class Arm:
    """One side of an A/B experiment: `weight` shares of all fingerprints go to `version`."""

    version: str
    weight: int


@dataclass(frozen=True)
class Experiment:
    """An A/B experiment; it runs while `ended_at` is None."""

    id: int
    arms: tuple[Arm, ...]
    started_at: datetime
    ended_at: datetime | None = None
    promoted: str | None = None


@dataclass(frozen=True)
class ApiKey:
    """What is kept of an API key: never the key, only its SHA-256."""

    id: str
    client: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def valid(self, now: datetime) -> bool:
        """Whether the key opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class JobStatus(StrEnum):
    """The life of a training job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        return self not in {JobStatus.QUEUED, JobStatus.RUNNING}


@dataclass(frozen=True)
class TrainingJob:
    """A training job; the rows that it learns from are never stored."""

    id: UUID
    status: JobStatus
    rows: int
    created_at: datetime
    created_by: str
    heartbeat_at: datetime
    ended_at: datetime | None = None
    problem: str | None = None
    version: str | None = None
    figures: Mapping[str, float] | None = None

    def silent_for(self, now: datetime) -> timedelta:
        """Since when its process has said nothing."""
        return now - self.heartbeat_at


@dataclass(frozen=True)
class CountKey:
    """What verdicts are counted by; `experiment` is 0 outside of one."""

    experiment: int
    version: str
    secret_type: str
    risk_level: str
    is_secret: bool


@dataclass
class Count:
    """How many verdicts, and the sum of their probabilities."""

    verdicts: int = 0
    probability: float = 0.0

    def add(self, other: Count) -> None:
        self.verdicts += other.verdicts
        self.probability += other.probability


@dataclass(frozen=True)
class CountBatch:
    """Counts that are stored together, once: a batch that comes again changes nothing."""

    id: UUID
    counts: Mapping[CountKey, Count]
    keys_used: Mapping[str, datetime]
    """Key id → last use."""


@dataclass(frozen=True)
class Snapshot:
    """All that an analysis needs to know, read at once."""

    versions: Mapping[str, ModelVersion] = field(default_factory=dict)
    active: str | None = None
    """None is the version that is built into the engine."""
    experiment: Experiment | None = None
    keys: tuple[ApiKey, ...] = ()
