"""A schema migration: what is run, and how the cluster shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Migration:
    """What brings the service's schema to the release's version: a Job that runs the release's own image."""

    job: str
    """Name of the Job. It comes from the digest: whoever runs next, and the next rollout of it, finds it."""
    deadline: timedelta
    """The Job is ended and counts as failed after so long."""
    manifests: tuple[Mapping[str, Any], ...]
    """The Job and what it needs, rendered."""


class JobState(StrEnum):
    ABSENT = "absent"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class MigrationStatus:
    """The Job of a schema migration, as the cluster shows it now."""

    state: JobState
    rollout_id: str = ""
    """The rollout that started it: one that failed for another rollout may be tried again."""
    words: str = ""
    """Of one that failed: why, and the last lines of its log. Of one that runs: what keeps it."""


NO_JOB = MigrationStatus(JobState.ABSENT)
