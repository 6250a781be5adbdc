"""How traffic gets to a new colour, and what takes it back."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

from platform_ops.core.triggers import ERRORS, P95_SECONDS, REQUESTS, promql

from .fields import Duration, Model


class RollbackTrigger(Model):
    """One rule over a PromQL expression; a breach that lasts takes the traffic back."""

    query: str = Field(min_length=1)
    """PromQL of what is judged. `$namespace`, `$service`, `$colour` and `$window` are filled in; the window
    is as long as `sustained`."""
    count: str = Field(default=REQUESTS, min_length=1)
    """PromQL of the colour's request counter; its increase is the sample."""
    threshold: float
    """A value above it is a breach."""
    sustained: Duration
    """How long the breach must last."""
    minimum_sample: int = Field(ge=0)
    """Fewer requests than this give no verdict: not a breach, and not a pass either."""

    @field_validator("query", "count")
    @classmethod
    def _placeholders(cls, value: str) -> str:
        try:
            promql(value, namespace="n", service="s", colour="c", window=timedelta(seconds=1))
        except (KeyError, ValueError) as broken:
            raise ValueError(
                f"{broken} is no placeholder: $namespace, $service, $colour, $window are; write $ as $$"
            ) from broken
        return value

    @field_validator("sustained")
    @classmethod
    def _positive(cls, value: timedelta) -> timedelta:
        if value < timedelta(seconds=1):
            raise ValueError("a trigger judges at least PT1S")
        return value


class ErrorRate(RollbackTrigger):
    """Share of 5xx answers, counted by the gateway per colour."""

    query: str = ERRORS
    """PromQL of the counter of failed requests."""
    threshold: float = Field(default=0.01, gt=0, lt=1)
    """1 %, as the pipeline guide states."""
    sustained: Duration = timedelta(minutes=2)
    """2 minutes, as the pipeline guide states."""
    minimum_sample: int = 100
    """At 1 %, a smaller sample turns one failed request into a breach."""


class Latency(RollbackTrigger):
    """95th percentile of the answer times, measured by the gateway per colour."""

    query: str = P95_SECONDS
    """PromQL of the 95th percentile in seconds."""
    threshold: float = Field(default=5.0, gt=0)
    """Seconds; 5, as the pipeline guide states."""
    sustained: Duration = timedelta(minutes=3)
    """3 minutes, as the pipeline guide states."""
    minimum_sample: int = 20
    """Requests below which the 95th percentile is one request's time."""


class FastBurn(RollbackTrigger):
    """Total failure: judged in seconds, before the error-rate rule has its window full."""

    query: str = ERRORS
    """PromQL of the counter of failed requests."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Half of the requests."""
    sustained: Duration = timedelta(seconds=15)
    """15 seconds."""
    minimum_sample: int = 50
    """Requests."""


class RollbackTriggers(Model):
    """What takes the traffic back. A crashed or unready new colour always does."""

    error_rate: ErrorRate = ErrorRate()
    """Sustained share of failed requests."""
    latency: Latency = Latency()
    """Sustained slow answers."""
    fast_burn: FastBurn = FastBurn()
    """Total failure."""


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
