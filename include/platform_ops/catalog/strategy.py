"""How traffic gets to a new colour."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

from .fields import Duration, Model

RouterName = Literal["http_route", "service"]


class Direct(Model):
    """The new colour takes all traffic once it is verified; the old one goes."""

    kind: Literal["direct"] = "direct"
    """All at once, no bake, no warm colour."""
    router: RouterName = "http_route"
    """`http_route`: weights of an HTTPRoute. `service`: the selector of the Service, all at once."""
    deploy_deadline: Duration = timedelta(minutes=10)
    """The new colour must be ready within this time, or it is removed."""


class BlueGreenSwitch(Model):
    """Both colours at full size, one switch, a bake."""

    kind: Literal["blue_green_switch"] = "blue_green_switch"
    """Both colours, one switch."""
    router: RouterName = "http_route"
    """`http_route`: weights of an HTTPRoute. `service`: the selector of the Service, all at once."""
    deploy_deadline: Duration = timedelta(minutes=10)
    """The new colour must be ready within this time, or it is removed."""
    bake: Duration = timedelta(minutes=5)
    """How long all traffic is watched on the new colour before the promotion counts."""
    warm: Duration = timedelta(days=1)
    """How long the old colour stays at full size, and the new one watched."""


class Gradual(Model):
    """Both colours at full size, weights in steps, a bake."""

    kind: Literal["gradual"] = "gradual"
    """Both colours, weights in steps."""
    router: RouterName = "http_route"
    """`http_route`: weights of an HTTPRoute. `service`: the selector of the Service, all at once."""
    weights: tuple[int, ...] = (5, 25, 50, 100)
    """Percent of traffic on the new colour, step by step; they rise and end at 100."""
    step_hold: Duration = timedelta(minutes=2)
    """How long each step below 100 is watched."""
    deploy_deadline: Duration = timedelta(minutes=10)
    """The new colour must be ready within this time, or it is removed."""
    bake: Duration = timedelta(minutes=5)
    """How long all traffic is watched on the new colour before the promotion counts."""
    warm: Duration = timedelta(days=1)
    """How long the old colour stays at full size, and the new one watched."""

    @field_validator("weights")
    @classmethod
    def _rise_to_100(cls, weights: tuple[int, ...]) -> tuple[int, ...]:
        if not weights or weights[-1] != 100:
            raise ValueError(f"weights {list(weights)} must end at 100")
        if weights[0] < 1 or any(later <= earlier for earlier, later in pairwise(weights)):
            raise ValueError(f"weights {list(weights)} must rise from at least 1")
        return weights

    @field_validator("router")
    @classmethod
    def _has_weights(cls, router: RouterName) -> RouterName:
        if router == "service":
            raise ValueError(
                "the selector of a Service moves all traffic at once: use kind: blue_green_switch, or "
                "router: http_route for weights in steps"
            )
        return router


Strategy = Annotated[Direct | BlueGreenSwitch | Gradual, Field(discriminator="kind")]


class InsufficientSamples(Model):
    """What happens when an environment has too little traffic for a verdict."""

    policy: Literal["generate", "extend", "manual"] = "generate"
    """`generate`: the controller sends verification load. `extend`: wait longer, then hold and page.
    `manual`: hold and page at once."""
    extend_at_most: Duration = timedelta(minutes=30)
    """How much longer a step may wait for its sample before the rollout holds and pages."""
