"""The status of an HTTPRoute: what this gateway tells its author."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient

from local_platform.gateway.translate import Condition, Json, key_of

log = logging.getLogger(__name__)

CONTROLLER_NAME = "local-platform.example.com/gateway"


def parent_statuses(
    http_route: Mapping[str, Any], conditions: Sequence[Condition], now: str
) -> list[Json] | None:
    """The `status.parents` that the route should have, or None when it has them already.

    Entries of other controllers stay. A condition keeps its transition time while its status is the same.
    `now` is RFC 3339.
    """
    current = (http_route.get("status") or {}).get("parents") or []
    foreign = [parent for parent in current if parent.get("controllerName") != CONTROLLER_NAME]
    mine = [parent for parent in current if parent.get("controllerName") == CONTROLLER_NAME]
    generation = http_route["metadata"].get("generation", 1)
    wanted = []
    for ref in http_route["spec"].get("parentRefs") or []:
        if ref.get("kind", "Gateway") != "Gateway":
            continue
        before = next((parent for parent in mine if parent["parentRef"] == ref), None)
        since = {entry["type"]: entry for entry in (before or {}).get("conditions") or []}
        wanted.append(
            {
                "controllerName": CONTROLLER_NAME,
                "parentRef": ref,
                "conditions": [
                    _condition(condition, generation, since.get(condition.type), now)
                    for condition in conditions
                ],
            }
        )
    return None if wanted == mine else foreign + wanted


def _condition(condition: Condition, generation: int, before: Mapping[str, Any] | None, now: str) -> Json:
    status = "True" if condition.status else "False"
    unchanged = before is not None and before["status"] == status
    return {
        "type": condition.type,
        "status": status,
        "reason": condition.reason,
        "message": condition.message[:32768],
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if before and unchanged else now,
    }


async def write_status(api: ApiClient, http_route: Mapping[str, Any], parents: list[Json]) -> None:
    """Patch the status subresource; a route that is gone by now needs none.

    Raises ConnectionError when the API server does not take it.
    """
    namespace, name = key_of(http_route)
    response: aiohttp.ClientResponse = await api.call_api(
        f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{name}/status",
        "PATCH",
        header_params={"Accept": "application/json", "Content-Type": "application/merge-patch+json"},
        body={"status": {"parents": parents}},
        auth_settings=["BearerToken"],
        _preload_content=False,
        _return_http_data_only=True,
        _request_timeout=10,
    )
    text = await response.text()
    if response.status not in {200, 404}:
        raise ConnectionError(f"status of {namespace}/{name} not written: {response.status} {text[:300]}")
    if response.status == 404 and json.loads(text).get("details", {}).get("name") != name:
        raise ConnectionError(f"the API server has no status subresource for HTTPRoutes: {text[:300]}")
