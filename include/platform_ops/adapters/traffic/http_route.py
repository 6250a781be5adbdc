"""Production traffic by the weights of a Gateway API HTTPRoute."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from platform_ops.core.ports import Fence, RouteState, Workloads
from platform_ops.core.release import Colour, Target, Weights

from ..kube_api import KubeApi
from .guard import Guard, marks, refuse_outrun, token_of
from .routes import (
    RenderRoute,
    Route,
    create_route,
    not_ours,
    route_path,
    rule_by_selector,
    rule_by_weight,
    with_rules,
)


class HTTPRouteRouter:
    """The `TrafficRouter` port over HTTPRoutes named as their service."""

    def __init__(self, api: KubeApi, workloads: Workloads, guard: Guard, render_route: RenderRoute) -> None:
        self._api = api
        self._workloads = workloads
        self._guard = guard
        self._render_route = render_route

    async def observe(self, target: Target) -> RouteState:
        """Raises Refused for a route that shares no traffic between the colours."""
        route = await self._api.find(target.context, route_path(target))
        if route is None:
            return RouteState(Weights(), 0)
        return RouteState(await self._weights(route, target), token_of(route))

    async def shift(self, target: Target, weights: Weights, fence: Fence) -> None:
        route = await self._api.find(target.context, route_path(target))
        present = await self._weights(route, target) if route is not None else Weights()
        if route is not None:
            refuse_outrun(target, route, fence)
        await self._guard.ensure_allowed(target, present, weights)
        if route is None:
            await create_route(self._api, target, self._render_route(target, weights), marks(fence))
        else:
            change = with_rules(route, self._rules(route, target, weights), marks(fence))
            await self._api.patch(target.context, route_path(target), change)
        if weights.routed and 100 in (weights.blue, weights.green):
            await self._follow(target, Colour.BLUE if weights.blue == 100 else Colour.GREEN)

    async def _follow(self, target: Target, colour: Colour) -> None:
        """The Service goes where all traffic is, so that clients inside the cluster get the same version."""
        await self._workloads.select_colour(target, colour)

    async def _weights(self, route: Route, target: Target) -> Weights:
        shared = rule_by_weight(route, target)
        if shared is not None:
            return _shares(shared, target)
        if rule_by_selector(route, target) is None:
            raise not_ours(route, target, " and ".join(target.deployment(colour) for colour in Colour))
        selected = await self._workloads.selected_colour(target)
        return Weights.towards(selected, 100) if selected else Weights()

    def _rules(self, route: Route, target: Target, weights: Weights) -> Any:
        """Only the weights change. A route that sent all to the Service (the catalog named the other router
        until now) gets the rules of this one."""
        if rule_by_weight(route, target) is None:
            return self._render_route(target, weights)["spec"]["rules"]
        changed = copy.deepcopy(dict(route))
        shared = rule_by_weight(changed, target) or {}
        for backend in shared["backendRefs"]:
            colour = Colour.BLUE if backend["name"] == target.deployment(Colour.BLUE) else Colour.GREEN
            backend["weight"] = weights.of(colour)
        return changed["spec"]["rules"]


def _shares(rule: Mapping[str, Any], target: Target) -> Weights:
    shares = {b["name"]: b.get("weight", 1) for b in rule["backendRefs"]}
    blue, green = (shares[target.deployment(colour)] for colour in (Colour.BLUE, Colour.GREEN))
    if blue + green == 0:
        return Weights()
    return Weights.towards(Colour.BLUE, round(100 * blue / (blue + green)))
