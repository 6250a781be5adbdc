"""Picks the router of a target: which one it is was written down with the rollout."""

from __future__ import annotations

from collections.abc import Mapping

from platform_ops.core.ports import Fence, RouteState, TrafficRouter
from platform_ops.core.release import Router, Target, Weights


class RouterOfTarget:
    """The `TrafficRouter` port for all targets."""

    def __init__(self, routers: Mapping[Router, TrafficRouter]) -> None:
        self._routers = routers

    async def observe(self, target: Target) -> RouteState:
        return await self._routers[target.router].observe(target)

    async def shift(self, target: Target, weights: Weights, fence: Fence) -> None:
        await self._routers[target.router].shift(target, weights, fence)
