"""Which kinds an API server serves, from its legacy discovery documents."""

from __future__ import annotations

from local_platform.cluster.controllers.api import ApiClient
from local_platform.cluster.controllers.resources import Object, Resource


async def discover(client: ApiClient) -> list[Resource]:
    """Every kind that can be listed, watched and deleted, once: in its group's preferred version."""
    groups = await client.request("GET", "/apis")
    versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups["groups"])]
    result = []
    for version in versions:
        path = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        document = await client.request("GET", path)
        result += [
            Resource(version, entry["name"], entry["kind"], entry["namespaced"])
            for entry in document["resources"]
            if _usable(entry)
        ]
    return result


def _usable(entry: Object) -> bool:
    return "/" not in entry["name"] and {"list", "watch", "delete"} <= set(entry.get("verbs") or [])
