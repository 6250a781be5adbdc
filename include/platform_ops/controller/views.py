"""A rollout as orchestration and `ops` see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from platform_ops.core.plan import Plan
from platform_ops.core.ports import Manifest
from platform_ops.core.release import Colour, Release, Target, Weights
from platform_ops.core.state import Observed, Phase, Rollout, Transition


@dataclass(frozen=True)
class RolloutRequest:
    """What is asked for. The controller picks the colour: the one without traffic."""

    dag_id: str
    run_id: str
    promotion_id: str | None
    target: Target
    release: Release
    plan: Plan
    """Its `manifests` are empty; those of the colour that is picked are put in."""
    manifests: Mapping[Colour, tuple[Manifest, ...]]
    requested_by: str
    log_url: str = ""


@dataclass(frozen=True)
class RolloutView:
    """A rollout as it stands, with what the controller saw and did last (None outside of `drive`)."""

    rollout: Rollout
    transition: Transition | None = None
    observed: Observed | None = None

    @property
    def rollout_id(self) -> str:
        return self.rollout.id

    @property
    def phase(self) -> Phase:
        return self.rollout.phase

    @property
    def weights(self) -> Weights:
        return self.observed.route.weights if self.observed else self.rollout.weights

    @property
    def reason(self) -> str:
        return self.rollout.reason

    def reached(self, phase: Phase) -> bool:
        return self.phase.reached(phase)

    def __str__(self) -> str:
        """One line for a log or a terminal."""
        r, w = self.rollout, self.weights
        text = f"{r.target.key} {r.release.name} ({r.colour}): {r.phase}, blue {w.blue} % green {w.green} %"
        return f"{text}; {self.transition.act}: {self.transition.why}" if self.transition else text


Progress = Callable[[RolloutView], None]
"""Called once a cycle, from the controller's own event loop: it must return at once."""
