"""What a rollout follows. It is written into the ledger when the rollout starts, so that a change of the
catalog in mid-rollout changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from .migration import Migration
from .triggers import Comparison, Kind, OnNoData, Sample, Trigger


@dataclass(frozen=True)
class Step:
    weight: int
    """Percent of traffic on the new colour."""
    hold: timedelta
    """How long the step is watched before the next."""


@dataclass(frozen=True)
class Check:
    """One request that a healthy colour answers as stated."""

    path: str
    method: str = "GET"
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    contains: str = ""
    """Text that the answer's body must hold; empty: any body."""
    timeout: timedelta = timedelta(seconds=5)


class OnInsufficientSamples(StrEnum):
    """What to do when a step's time is over and the traffic was too little for a verdict."""

    GENERATE = "generate"
    """Send verification load to the new colour, at most for the extension; then hold."""
    EXTEND = "extend"
    """Wait on, at most for the extension; then hold."""
    MANUAL = "manual"
    """Hold at once and ask a person."""


@dataclass(frozen=True)
class Plan:
    replicas: int
    """Full size of a colour."""
    steps: tuple[Step, ...]
    """Weights rise and end at 100."""
    bake: timedelta
    warm: timedelta
    deploy_deadline: timedelta
    """From the start of the deployment (or of the scale-up in a rollback) until all pods must be ready."""
    triggers: tuple[Trigger, ...]
    checks: tuple[Check, ...]
    manifests: tuple[Mapping[str, Any], ...]
    """Rendered for the new colour; the controller applies them as they are."""
    on_insufficient_samples: OnInsufficientSamples = OnInsufficientSamples.EXTEND
    extension: timedelta = timedelta(minutes=10)
    """How much longer a step may wait for a verdict before the rollout is held and people are paged."""
    hold_limit: timedelta = timedelta(minutes=5)
    """A hold without a decision for so long becomes a rollback."""
    unready_grace: timedelta = timedelta(seconds=10)
    """How long some pods of the new colour may be unready under traffic. With none ready, none at all."""
    confirm_limit: timedelta = timedelta(seconds=60)
    """How long the data plane may take to show a weight in real responses."""
    park_limit: timedelta = timedelta(hours=1)
    """How long a preview may wait for the task that asks for the next phase, before it is removed."""
    page_channel: str = ""
    """Where a page about this rollout goes."""
    migration: Migration | None = None
    """Runs before the preview; None: the release needs no schema of its own."""

    def __post_init__(self) -> None:
        weights = [s.weight for s in self.steps]
        if not weights or weights != sorted(set(weights)) or weights[-1] != 100 or weights[0] <= 0:
            raise ValueError(f"steps {weights} must rise from above 0 and end at 100")
        if self.replicas < 1:
            raise ValueError("a colour has at least one replica")

    def steps_for(self, *, first_release: bool) -> tuple[Step, ...]:
        """Without an old colour there is nothing to share the traffic with: 100 % after verification."""
        return self.steps[-1:] if first_release else self.steps

    def to_json(self) -> dict[str, Any]:
        return {key: _encode(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Plan:
        """Fields that a newer version added take their defaults; unknown ones are left out."""
        found = known(cls, stored)
        for name in _DURATIONS & found.keys():
            found[name] = timedelta(seconds=found[name])
        found["steps"] = tuple(Step(s["weight"], timedelta(seconds=s["hold"])) for s in found["steps"])
        found["triggers"] = tuple(_trigger(t) for t in found["triggers"])
        found["checks"] = tuple(_check(c) for c in found["checks"])
        found["manifests"] = tuple(found["manifests"])
        if "on_insufficient_samples" in found:
            found["on_insufficient_samples"] = OnInsufficientSamples(found["on_insufficient_samples"])
        if found.get("migration"):
            found["migration"] = _migration(found["migration"])
        return cls(**found)


def known(of: Any, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was stored, the fields that this version's dataclass has."""
    return {name: stored[name] for name in of.__dataclass_fields__ if name in stored}


_DURATIONS = {
    "bake",
    "warm",
    "deploy_deadline",
    "extension",
    "hold_limit",
    "unready_grace",
    "confirm_limit",
    "park_limit",
}


def _encode(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _trigger(stored: Mapping[str, Any]) -> Trigger:
    found = known(Trigger, stored)
    found["sustained"] = timedelta(seconds=stored["sustained"])
    for name, values in _CHOICES.items():
        if name in found:
            found[name] = values(found[name])
    return Trigger(**found)


_CHOICES = {"kind": Kind, "on_no_data": OnNoData, "comparison": Comparison, "sample": Sample}


def _check(stored: Mapping[str, Any]) -> Check:
    return Check(**{**known(Check, stored), "timeout": timedelta(seconds=stored["timeout"])})


def _migration(stored: Mapping[str, Any]) -> Migration:
    deadline = timedelta(seconds=stored["deadline"])
    return Migration(stored["job"], deadline, tuple(stored["manifests"]))
