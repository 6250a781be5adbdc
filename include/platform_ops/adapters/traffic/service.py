"""Production traffic by the selector of a Service: all at once.

Users come through an HTTPRoute with one backend, the Service `<service>`; where it is exposed in another way,
the selector moves them just the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

from platform_ops.core.errors import Refused
from platform_ops.core.ports import Fence, Manifest, RouteState, Workloads
from platform_ops.core.release import Colour, Target, Weights

from ..kube_api import FIELD_MANAGER, KubeApi, object_path
from ..kubernetes import SELECTED, selected_by
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

RenderService = Callable[[Target, Colour], Manifest]


class ServiceRouter:
    """The `TrafficRouter` port over Services. Weights are 100 and 0: it knows no shares."""

    def __init__(
        self,
        api: KubeApi,
        workloads: Workloads,
        guard: Guard,
        render_service: RenderService,
        render_route: RenderRoute,
    ) -> None:
        self._api = api
        self._workloads = workloads
        self._guard = guard
        self._render_service = render_service
        self._render_route = render_route

    async def observe(self, target: Target) -> RouteState:
        """Raises Refused for a route that leads past the Service."""
        service = await self._api.find(target.context, _service_path(target))
        route = await self._api.find(target.context, route_path(target))
        if route is not None and _leads_elsewhere(route, target):
            raise not_ours(route, target, f"the backend {target.service}")
        if service is None:
            return RouteState(Weights(), 0)
        colour = selected_by(service) if route is not None else None
        return RouteState(Weights.towards(colour, 100) if colour else Weights(), token_of(service))

    async def shift(self, target: Target, weights: Weights, fence: Fence) -> None:
        """Refused for anything but all or nothing. Nothing, before a first release, is a route without its
        Service: previews can be reached, users get an error."""
        if weights.routed and 100 not in (weights.blue, weights.green):
            raise Refused(f"{target.key}: the selector of a Service moves all traffic at once, no shares")
        service = await self._api.find(target.context, _service_path(target))
        route = await self._api.find(target.context, route_path(target))
        if route is not None and _leads_elsewhere(route, target):
            raise not_ours(route, target, f"the backend {target.service}")
        if service is not None:
            refuse_outrun(target, service, fence)
        given = _given(service) if service is not None and route is not None else None
        present = Weights.towards(given, 100) if given else Weights()
        await self._guard.ensure_allowed(target, present, weights)
        if weights.majority is not None:
            await self._select(target, service, weights.majority, fence)
        await self._lead_to_service(target, route, weights, fence)

    async def _select(self, target: Target, service: Manifest | None, colour: Colour, fence: Fence) -> None:
        noted = {**marks(fence), SELECTED: colour.value}
        if service is None:
            created = copy.deepcopy(dict(self._render_service(target, colour)))
            metadata = created.setdefault("metadata", {})
            metadata["annotations"] = {**metadata.get("annotations", {}), **noted}
            collection = object_path("v1", "Service", target.namespace)
            query = {"fieldManager": FIELD_MANAGER}
            await self._api.request(target.context, "POST", collection, query=query, body=created)
            return
        wanted = dict(self._render_service(target, colour)["spec"]["selector"])
        gone = {name: None for name in service["spec"].get("selector", {}) if name not in wanted}
        change = {
            "metadata": {"resourceVersion": service["metadata"]["resourceVersion"], "annotations": noted},
            "spec": {"selector": {**gone, **wanted}},
        }
        await self._api.patch(target.context, _service_path(target), change)

    async def _lead_to_service(
        self, target: Target, route: Route | None, weights: Weights, fence: Fence
    ) -> None:
        """The users' route ends at the Service; one that shared by weight (the catalog named the other router
        until now) gets the rules of this one."""
        manifest = self._render_route(target, weights)
        if route is None:
            await create_route(self._api, target, manifest, marks(fence))
        elif rule_by_selector(route, target) is None and weights.routed:
            change = with_rules(route, manifest["spec"]["rules"], marks(fence))
            await self._api.patch(target.context, route_path(target), change)


def _given(service: Manifest) -> Colour | None:
    """What the Service selects, if we gave it that: for a colour that a hand gave it, the guard is asked."""
    selected = selected_by(service)
    noted = service["metadata"].get("annotations", {}).get(SELECTED)
    return selected if noted in (None, selected) else None


def _leads_elsewhere(route: Route, target: Target) -> bool:
    return rule_by_selector(route, target) is None and rule_by_weight(route, target) is None


def _service_path(target: Target) -> str:
    return object_path("v1", "Service", target.namespace, target.service)
