"""The world of the controller in one object."""

from __future__ import annotations

from dataclasses import dataclass

from platform_ops.adapters.ledger import Ledger
from platform_ops.core.ports import (
    Clock,
    CrashPoints,
    Images,
    Metrics,
    Migrations,
    Probe,
    TrafficRouter,
    Workloads,
)


class NoCrashPoints:
    """What production runs with: reaching a point does nothing (ADR-8)."""

    def reach(self, label: str) -> None:
        return


@dataclass(frozen=True)
class Ports:
    workloads: Workloads
    router: TrafficRouter
    metrics: Metrics
    probe: Probe
    ledger: Ledger
    clock: Clock
    crash: CrashPoints
    images: Images
    migrations: Migrations
