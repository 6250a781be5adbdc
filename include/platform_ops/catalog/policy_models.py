"""The gate policy: which gates an environment requires. One file for all services."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from pydantic import Field, field_validator, model_validator

from platform_ops.core.gates import GATES, IN_PODS, Required

from .fields import Duration, Model
from .names import unknown

Scope = Literal["every_environment", "staging_and_later", "production_only"]
_SCOPES: dict[str, tuple[Scope, ...]] = {
    "development": ("every_environment",),
    "staging": ("every_environment", "staging_and_later"),
    "production": ("every_environment", "staging_and_later", "production_only"),
}


class NotRun(Model):
    """A gate that the guides ask for and nothing here can run: shown as not run, never as passed."""

    scope: Scope
    """Where it would be required."""
    reason: str = Field(min_length=20)
    """Why it is not run; people read it before they vote."""


class GatePolicy(Model):
    """Which gates an environment requires."""

    version: str = Field(min_length=1)
    """Part of what a result is kept under: a new version makes every gate run again."""
    every_environment: tuple[str, ...] = ()
    """Gates of all environments."""
    staging_and_later: tuple[str, ...] = ()
    """Gates of staging and production besides."""
    production_only: tuple[str, ...] = ()
    """Gates of production besides."""
    minimum_coverage: float = Field(default=80.0, ge=0, lt=100)
    """Percent of the statements that must run in the test suites; the gate `coverage` passes above it."""
    time_limit: Duration = timedelta(minutes=2)
    """A gate that takes longer has failed."""
    time_limits: dict[str, Duration] = Field(default_factory=dict)
    """Gate to a limit of its own."""
    not_run: dict[str, NotRun] = Field(default_factory=dict)
    """Gates that should be there and cannot, by name."""

    @field_validator("every_environment", "staging_and_later", "production_only")
    @classmethod
    def _known(cls, gates: tuple[str, ...]) -> tuple[str, ...]:
        for gate in gates:
            if gate not in GATES:
                raise ValueError(unknown("gate", gate, GATES))
        return gates

    @field_validator("time_limits")
    @classmethod
    def _of_pods(cls, limits: dict[str, timedelta]) -> dict[str, timedelta]:
        for gate, limit in limits.items():
            if gate not in IN_PODS:
                raise ValueError(unknown("gate", gate, IN_PODS))
            if limit < timedelta(seconds=1):
                raise ValueError(f"{gate} needs at least PT1S")
        return limits

    @model_validator(mode="after")
    def _once(self) -> GatePolicy:
        listed = [*self.every_environment, *self.staging_and_later, *self.production_only]
        if twice := sorted({gate for gate in listed if listed.count(gate) > 1}):
            raise ValueError(
                f"{', '.join(twice)}: required twice; a gate of every environment is one of the later, too"
            )
        if both := sorted(set(listed) & set(self.not_run)):
            raise ValueError(f"{', '.join(both)}: both required and under not_run; decide for one")
        if "source" not in self.every_environment or "image" not in self.every_environment:
            raise ValueError(
                "every_environment must hold source and image: nothing else looks at what is deployed"
            )
        return self

    def required(self, environment: str) -> Required:
        """What the environment asks for, in the core's terms."""
        return Required(
            gates=tuple(self._gates(environment)),
            advisory={
                gate: entry.reason
                for gate, entry in self.not_run.items()
                if entry.scope in _SCOPES[environment]
            },
            minimum_coverage=self.minimum_coverage,
        )

    def limit(self, gate: str) -> timedelta:
        """How long a gate may take."""
        return self.time_limits.get(gate, self.time_limit)

    def _gates(self, environment: str) -> Iterator[str]:
        for scope in _SCOPES[environment]:
            yield from getattr(self, scope)
