"""What takes the traffic back: rules over PromQL. Defaults are the numbers of the team's pipeline guide."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from platform_ops.core.triggers import (
    ENVOY_BUCKETS,
    ERRORS,
    FAILED_PROBES,
    MEMORY,
    MEMORY_SCRAPES,
    PROBES,
    REQUESTS,
    TIMED,
    default_triggers,
    promql,
)

from .fields import Duration, Model


class RollbackTrigger(Model):
    """One rule over a PromQL expression; a breach that lasts takes the traffic back."""

    query: str = Field(min_length=1)
    """PromQL of what is judged. `$namespace`, `$service`, `$colour` and `$window` are filled in; the window
    is as long as `sustained`. Counters are best not added up: a vanished pod must stay visible."""
    count: str = Field(default=REQUESTS, min_length=1)
    """PromQL of the sample: the counters of all events of the colour."""
    threshold: float
    """A value beyond it is a breach."""
    comparison: Literal["above", "below"] = "above"
    """On which side of the threshold the breach is."""
    sustained: Duration
    """How long the breach must last."""
    minimum_sample: int = Field(ge=0)
    """A smaller sample than this gives no verdict: not a breach, and not a pass either."""
    on_no_data: Literal["wait", "ignore"] = "wait"
    """What a missing or too small sample means. `wait`: the step does not end without a verdict. `ignore`:
    only a breach counts."""

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
    """PromQL of the counters of failed requests."""
    threshold: float = Field(default=0.01, gt=0, lt=1)
    """1 %, as the pipeline guide states."""
    sustained: Duration = timedelta(minutes=2)
    """2 minutes, as the pipeline guide states."""
    minimum_sample: int = Field(default=100, ge=1)
    """At 1 %, a smaller sample turns one failed request into a breach."""


class Latency(RollbackTrigger):
    """95th percentile of the answer times, measured by the gateway per colour. It is above the threshold when
    more than 5 % of the requests took longer, and that is what is counted."""

    query: str = ""
    """PromQL of the counters of slow requests; empty: the gateway's, for the threshold."""
    count: str = TIMED
    """PromQL of the counters of all requests that were timed."""
    threshold: float = Field(default=5.0, gt=0)
    """Seconds; 5, as the pipeline guide states. Without a query of your own one of the bounds of the
    gateway's histogram."""
    sustained: Duration = timedelta(minutes=3)
    """3 minutes, as the pipeline guide states."""
    minimum_sample: int = Field(default=20, ge=1)
    """Requests below which the 95th percentile is one request's time."""

    @model_validator(mode="after")
    def _counted_there(self) -> Latency:
        if not self.query and self.threshold not in ENVOY_BUCKETS:
            bounds = ", ".join(f"{bound:g}" for bound in ENVOY_BUCKETS)
            raise ValueError(f"the gateway counts at {bounds} seconds, not at {self.threshold:g}")
        return self


class HealthChecks(RollbackTrigger):
    """Share of failed readiness and liveness probes of the colour's pods, counted by the kubelet."""

    query: str = FAILED_PROBES
    """PromQL of the counters of failed probes."""
    count: str = PROBES
    """PromQL of the counters of all probes."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """50 %, as the pipeline guide states."""
    sustained: Duration = timedelta(minutes=1)
    """1 minute, as the pipeline guide states."""
    minimum_sample: int = Field(default=4, ge=1)
    """Probes."""


class Memory(RollbackTrigger):
    """Working set of each container of the colour against its limit, by cAdvisor."""

    query: str = MEMORY
    """PromQL of the share of the limit in use, a series for each container."""
    count: str = MEMORY_SCRAPES
    """PromQL of the number of scrapes in the window, a series for each container."""
    threshold: float = Field(default=0.95, gt=0, lt=1)
    """95 %, as the pipeline guide states."""
    sustained: Duration = timedelta(minutes=2)
    """2 minutes, as the pipeline guide states."""
    minimum_sample: int = Field(default=4, ge=1)
    """Scrapes of all containers in the window: a rule without requests is sampled by them."""


class FastBurn(RollbackTrigger):
    """Total failure: judged in seconds, before the error-rate rule has its window full."""

    query: str = ERRORS
    """PromQL of the counters of failed requests."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Half of the requests."""
    sustained: Duration = timedelta(seconds=15)
    """15 seconds."""
    minimum_sample: int = Field(default=50, ge=1)
    """Requests."""
    on_no_data: Literal["wait", "ignore"] = "ignore"
    """Quiet is its normal state."""


class CustomTrigger(RollbackTrigger):
    """A rule of the service's own."""

    kind: Literal["ratio", "level"]
    """`ratio`: `query` and `count` are counters of bad and of all events. `level`: `query` is a value;
    each of its series is judged by itself, and every point of the window must breach."""
    sample: Literal["increase", "value"] = "increase"
    """`increase`: `count` is a counter and its growth the sample. `value`: `count` is that number itself."""
    independent: bool = True
    """Events of a `ratio` fail independently of each other, as requests do: then a breach must also be more
    than bad luck."""


TriggerName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class RollbackTriggers(Model):
    """What takes the traffic back. A failed deployment, and a crashed or unready new colour, always do."""

    error_rate: ErrorRate = ErrorRate()
    """Sustained share of failed requests."""
    latency: Latency = Latency()
    """Sustained slow answers."""
    health_checks: HealthChecks = HealthChecks()
    """Sustained share of failed probes."""
    memory: Memory = Memory()
    """Sustained use of nearly all memory."""
    fast_burn: FastBurn = FastBurn()
    """Total failure."""
    custom: dict[TriggerName, CustomTrigger] = Field(default_factory=dict)
    """Rules of the service's own, by name, such as `queue-length`."""

    @field_validator("custom")
    @classmethod
    def _own_names(cls, custom: dict[str, CustomTrigger]) -> dict[str, CustomTrigger]:
        taken = {trigger.name for trigger in default_triggers()} & custom.keys()
        if taken:
            raise ValueError(f"{', '.join(sorted(taken))} is the name of a trigger that every service has")
        return custom
