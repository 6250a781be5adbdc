"""Production traffic by the weights of a Gateway API HTTPRoute.

The guard stands here (design, rule 2): whoever asks, a colour whose weight would rise must run a digest that
the ledger holds as approved. So does the fence: the route carries the highest token that patched it, and
every patch names the resourceVersion it was decided on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from platform_ops.core.errors import GateClosed, NotFound, Refused, StaleHolder
from platform_ops.core.ports import Approvals, Fence, Manifest, RouteState, Workloads
from platform_ops.core.release import Colour, Target, Weights

from .kube_api import FIELD_MANAGER, KubeApi, object_path

TOKEN = "platform-ops.io/fencing-token"
ROLLOUT = "platform-ops.io/rollout"
COLOUR_HEADER = "x-platform-colour"
_API_VERSION = "gateway.networking.k8s.io/v1"

RenderRoute = Callable[[Target, Weights], Manifest]


class HTTPRouteRouter:
    """The `TrafficRouter` port over HTTPRoutes named as their service."""

    def __init__(
        self, api: KubeApi, workloads: Workloads, approvals: Approvals, render_route: RenderRoute
    ) -> None:
        self._api = api
        self._workloads = workloads
        self._approvals = approvals
        self._render_route = render_route

    async def observe(self, target: Target) -> RouteState:
        route = await self._api.find(target.context, _path(target))
        if route is None:
            return RouteState(Weights(), 0)
        return RouteState(_weights(route, target), _token(route))

    async def shift(self, target: Target, weights: Weights, fence: Fence) -> None:
        route = await self._api.find(target.context, _path(target))
        present = _weights(route, target) if route is not None else Weights()
        if route is not None and _token(route) > fence.token:
            raise StaleHolder(
                f"{target.key}: token {fence.token} of rollout {fence.rollout_id} is outrun by "
                f"{_token(route)}; somebody else moves this traffic now"
            )
        for colour in Colour:
            if weights.of(colour) > present.of(colour):
                await self._ensure_allowed(target, colour)
        marks = {TOKEN: str(fence.token), ROLLOUT: fence.rollout_id}
        if route is None:
            await self._create(target, weights, marks)
        else:
            await self._api.patch(target.context, _path(target), _change(route, target, weights, marks))
        if weights.routed and 100 in (weights.blue, weights.green):
            await self._follow(target, Colour.BLUE if weights.blue == 100 else Colour.GREEN)

    async def _follow(self, target: Target, colour: Colour) -> None:
        """The Service goes where all traffic is, so that clients inside the cluster get the same version."""
        if await self._workloads.selected_colour(target) is not colour:
            await self._workloads.select_colour(target, colour)

    async def _ensure_allowed(self, target: Target, colour: Colour) -> None:
        status = await self._workloads.status(target, colour)
        if not status.exists or status.digest is None:
            raise GateClosed(
                f"{target.key}: {colour} gets no traffic: "
                + ("its image is not named by digest" if status.exists else "it is not deployed")
            )
        await self._approvals.ensure_allowed(target, status.digest)

    async def _create(self, target: Target, weights: Weights, marks: Mapping[str, str]) -> None:
        manifest = copy.deepcopy(dict(self._render_route(target, weights)))
        metadata = manifest.setdefault("metadata", {})
        metadata["annotations"] = {**metadata.get("annotations", {}), **marks}
        collection = object_path(_API_VERSION, "HTTPRoute", target.namespace)
        try:
            await self._api.request(
                target.context, "POST", collection, query={"fieldManager": FIELD_MANAGER}, body=manifest
            )
        except NotFound as missing:
            raise Refused(
                f"{missing}; the namespace {target.namespace} and the Gateway API's CRDs must exist"
            ) from missing


def _path(target: Target) -> str:
    return object_path(_API_VERSION, "HTTPRoute", target.namespace, target.service)


def _token(route: Mapping[str, Any]) -> int:
    text = route["metadata"].get("annotations", {}).get(TOKEN, "0")
    return int(text) if text.isdecimal() else 0


def _default_rule(route: Mapping[str, Any], target: Target) -> Mapping[str, Any]:
    """The rule that carries production traffic: both colours behind it, no header asked for."""
    names = {target.deployment(colour) for colour in Colour}
    for rule in route["spec"].get("rules", ()):
        if {backend["name"] for backend in rule.get("backendRefs", ())} == names:
            found: Mapping[str, Any] = rule
            return found
    raise Refused(
        f"HTTPRoute {target.service} in {target.namespace} has no rule with {' and '.join(sorted(names))}; "
        "somebody changed it: delete it, and the next promotion writes it again"
    )


def _weights(route: Mapping[str, Any], target: Target) -> Weights:
    shares = {b["name"]: b.get("weight", 1) for b in _default_rule(route, target)["backendRefs"]}
    blue, green = (shares[target.deployment(colour)] for colour in (Colour.BLUE, Colour.GREEN))
    if blue + green == 0:
        return Weights()
    return Weights.towards(Colour.BLUE, round(100 * blue / (blue + green)))


def _change(
    route: Mapping[str, Any], target: Target, weights: Weights, marks: Mapping[str, str]
) -> dict[str, Any]:
    """Merge patch with the resourceVersion as precondition: 409 when anybody changed the route meanwhile."""
    changed = copy.deepcopy(dict(route))
    for backend in _default_rule(changed, target)["backendRefs"]:
        colour = Colour.BLUE if backend["name"] == target.deployment(Colour.BLUE) else Colour.GREEN
        backend["weight"] = weights.of(colour)
    return {
        "metadata": {"resourceVersion": route["metadata"]["resourceVersion"], "annotations": dict(marks)},
        "spec": {"rules": changed["spec"]["rules"]},
    }
