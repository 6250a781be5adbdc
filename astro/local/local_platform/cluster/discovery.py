"""What the server serves: /api, /apis, /version, health."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .resources import Resource, Resources
from .state import ClusterState
from .views import encode

JSON = dict[str, Any]

VERSION: JSON = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "local-platform",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none: a double",
    "compiler": platform.python_implementation(),
    "platform": "linux/amd64",
}
AGGREGATED = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
HEALTH_PATHS = ("/healthz", "/livez", "/readyz")


def answer(state: ClusterState, request: web.Request) -> web.Response | None:
    """The document under the request's path; None when there is none."""
    path = request.path.rstrip("/") or "/"
    if path in HEALTH_PATHS:
        return _health(path, request)
    if path in ("/api", "/apis") and AGGREGATED in request.headers.get("Accept", ""):
        return _aggregated(state.resources, path, request)
    document = _document(state, path)
    if document is None:
        return None
    return web.Response(body=encode(document), content_type="application/json")


def _aggregated(resources: Resources, path: str, request: web.Request) -> web.Response:
    """Every group in one document (apidiscovery.k8s.io/v2), with an ETag."""
    items = []
    for group, versions in resources.group_versions().items():
        if bool(group) is (path == "/api"):
            continue
        shown = [
            {
                "version": version,
                "resources": [_aggregated_entry(one) for one in resources.served(group, version)],
                "freshness": "Current",
            }
            for version in versions
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": shown})
    body = encode(
        {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": items,
        }
    )
    tag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    headers = {"ETag": tag, "Vary": "Accept"}
    if tag in request.headers.get("If-None-Match", ""):
        return not_modified(headers)
    headers["Content-Type"] = f"application/json;{AGGREGATED}"
    return web.Response(body=body, headers=headers)


def not_modified(headers: Mapping[str, str]) -> web.Response:
    """304, which has no content and therefore no type of it."""
    return web.Response(status=304, headers=headers)


def _aggregated_entry(resource: Resource) -> JSON:
    # custom kinds name their group and version here, built-in ones leave them out
    group, version = (resource.group, resource.version) if resource.custom else ("", "")
    entry: JSON = {
        "resource": resource.plural,
        "responseKind": {"group": group, "version": version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": one.name,
                "responseKind": {
                    "group": one.group or group,
                    "version": one.version or version,
                    "kind": one.kind,
                },
                "verbs": list(one.verbs),
            }
            for one in resource.subresources
        ]
    return entry


def _health(path: str, request: web.Request) -> web.Response:
    if "verbose" not in request.query:
        return web.Response(text="ok")
    name = path.lstrip("/")
    return web.Response(text=f"[+]ping ok\n[+]log ok\n[+]store ok\n{name} check passed\n")


def _document(state: ClusterState, path: str) -> JSON | None:
    if path == "/":
        return {"paths": _paths(state.resources)}
    if path == "/version":
        return VERSION
    if path == "/api":
        address = state.settings.address
        servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}
    if path == "/apis":
        groups = [
            _group(name, versions) for name, versions in state.resources.group_versions().items() if name
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) == 2:
        return resource_list(state.resources, "", parts[1])
    if parts[0] == "apis" and len(parts) == 2:
        versions = state.resources.group_versions().get(parts[1])
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], versions)} if versions else None
    if parts[0] == "apis" and len(parts) == 3:
        return resource_list(state.resources, parts[1], parts[2])
    return None


def _group(name: str, versions: list[str]) -> JSON:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def resource_list(resources: Resources, group: str, version: str) -> JSON | None:
    """The APIResourceList of one group version; None when it is not served."""
    served = resources.served(group, version)
    if not served:
        return None
    entries: list[JSON] = []
    for resource in served:
        entries.append(_entry(resource))
        entries += [_subresource_entry(resource, one.name) for one in resource.subresources]
    group_version = f"{group}/{version}" if group else version
    document: JSON = {"kind": "APIResourceList"}
    if group:
        document["apiVersion"] = "v1"
    return {**document, "groupVersion": group_version, "resources": entries}


def _entry(resource: Resource) -> JSON:
    entry: JSON = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "watch" in resource.verbs:
        entry["storageVersionHash"] = resource.storage_version_hash
    return entry


def _subresource_entry(resource: Resource, name: str) -> JSON:
    subresource = resource.subresource(name)
    if subresource is None:
        raise LookupError(name)
    entry: JSON = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    if subresource.group:
        entry["group"] = subresource.group
        entry["version"] = subresource.version
    entry["kind"] = subresource.kind
    entry["verbs"] = list(subresource.verbs)
    return entry


def _paths(resources: Resources) -> list[str]:
    found = [
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/healthz",
        "/livez",
        "/openapi/v3",
        "/openapi/v3/",
        "/readyz",
        "/version",
    ]
    for group, versions in resources.group_versions().items():
        if group:
            found.append(f"/apis/{group}")
            found += [f"/apis/{group}/{version}" for version in versions]
    return sorted(found)
