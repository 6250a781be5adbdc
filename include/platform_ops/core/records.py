"""What the ledger keeps beside rollouts: promotions, gates and the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .errors import GateClosed
from .release import Release, release_name

RUNNING = "running"
PASSED = "passed"
"""The one outcome of a gate that lets a release pass."""
OUTCOMES = ("promoted", "failed", "rolled_back", "refused")
"""How a promotion can end. `promoted`: rolled out and verified, so that the next environment takes it."""


@dataclass(frozen=True)
class Promotion:
    """One run that brings a release into an environment."""

    id: str
    dag_id: str
    run_id: str
    service: str
    environment: str
    commit: str
    version: str
    digest: str | None
    """None until development's build wrote it; never changed afterwards."""
    requested_by: str
    url: str
    """Link to the run."""
    started_at: datetime
    outcome: str = RUNNING
    ended_at: datetime | None = None
    fixes: tuple[str, ...] = ()
    """Incidents whose cause the release removes, as its requester stated."""

    @property
    def name(self) -> str:
        return release_name(self.version, self.commit)

    @property
    def release(self) -> Release:
        """Raises GateClosed before the image was built."""
        if self.digest is None:
            raise GateClosed(f"{self.name} of {self.service} is not built yet: the task `build` comes first")
        return Release(self.service, self.version, self.commit, self.digest)


@dataclass(frozen=True)
class GateResult:
    """One gate's outcome (`passed`, `failed`, `not_run`) for a commit, a digest or an environment."""

    service: str
    subject: str
    gate: str
    outcome: str
    detail: Mapping[str, Any]
    at: datetime
    input_digest: str = ""
    """Names all that the outcome depends on; results of equal inputs are equal."""


@dataclass(frozen=True)
class BranchMove:
    """What a promotion did in git: where it left a branch, and the version it gave."""

    branch: str
    commit: str
    tag: str
    """`v1.2.3`; empty when the release got no version of its own."""
    at: datetime


@dataclass(frozen=True)
class Entry:
    """One line of the journal. Of an act: `intent` before it, `done` or `failed` after it; else `note`."""

    service: str
    environment: str
    at: datetime
    actor: str
    kind: str
    what: str
    """The act (`Shift`) or event (`Hold`, `Vote`)."""
    why: str = ""
    rollout_id: str | None = None
    promotion_id: str | None = None
    token: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0
    """Its place in the journal, given by the ledger."""
