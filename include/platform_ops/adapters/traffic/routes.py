"""HTTPRoutes as objects: which rule carries the users' traffic, and how a route comes to be there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from platform_ops.core.errors import NotFound, Refused
from platform_ops.core.ports import Manifest
from platform_ops.core.release import Colour, Target, Weights

from ..kube_api import FIELD_MANAGER, KubeApi, object_path

Route = Mapping[str, Any]
RenderRoute = Callable[[Target, Weights], Manifest]
_API_VERSION = "gateway.networking.k8s.io/v1"


def route_path(target: Target) -> str:
    return object_path(_API_VERSION, "HTTPRoute", target.namespace, target.service)


def rule_by_weight(route: Route, target: Target) -> Route | None:
    """The rule that shares the traffic out: both colours behind it."""
    return _rule(route, {target.deployment(colour) for colour in Colour}, 2)


def rule_by_selector(route: Route, target: Target) -> Route | None:
    """The rule that sends all traffic to the Service, whose selector picks the colour."""
    return _rule(route, {target.service}, 1)


def _rule(route: Route, names: set[str], number: int) -> Route | None:
    for rule in route["spec"].get("rules", ()):
        backends = [backend["name"] for backend in rule.get("backendRefs", ())]
        if set(backends) == names and len(backends) == number:
            found: Route = rule
            return found
    return None


def not_ours(route: Route, target: Target, expected: str) -> Refused:
    """For a route that leads elsewhere: somebody else wrote it, or changed it beyond its weights."""
    writers = [entry.get("manager", "") for entry in route["metadata"].get("managedFields", ())]
    others = sorted({name for name in writers if name and name != FIELD_MANAGER})
    by = f" ({', '.join(others)})" if others else ""
    return Refused(
        f"HTTPRoute {target.service} in {target.namespace} has no rule with {expected}; somebody{by} changed "
        "or owns it: delete it, and it is written again, or give the service another namespace"
    )


async def create_route(api: KubeApi, target: Target, manifest: Manifest, marks: Mapping[str, str]) -> None:
    """Raises Refused where its namespace or the Gateway API is missing."""
    marked = copy.deepcopy(dict(manifest))
    metadata = marked.setdefault("metadata", {})
    metadata["annotations"] = {**metadata.get("annotations", {}), **marks}
    collection = object_path(_API_VERSION, "HTTPRoute", target.namespace)
    try:
        await api.request(
            target.context, "POST", collection, query={"fieldManager": FIELD_MANAGER}, body=marked
        )
    except NotFound as missing:
        raise Refused(
            f"{missing}; the namespace {target.namespace} and the Gateway API's CRDs must exist"
        ) from missing


def with_rules(route: Route, rules: Any, marks: Mapping[str, str]) -> dict[str, Any]:
    """Merge patch with the resourceVersion as precondition: 409 when anybody changed the route meanwhile."""
    return {
        "metadata": {"resourceVersion": route["metadata"]["resourceVersion"], "annotations": dict(marks)},
        "spec": {"rules": rules},
    }
