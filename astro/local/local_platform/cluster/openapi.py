"""/openapi/v3: what kubectl asks for before it sends a manifest, and what `kubectl explain` prints.

The types come from the definitions that kubernetes-validate carries, and from CustomResourceDefinitions.
Paths are reduced to the one operation that kubectl looks for: a PATCH that takes `fieldValidation`, by
which it leaves validation to the server.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from importlib import resources as package_files
from typing import Any

from aiohttp import web

from .discovery import not_modified
from .resources import Resource
from .schema import RELEASE
from .state import ClusterState
from .views import encode

JSON = dict[str, Any]

_INDEX = "/openapi/v3"
_DROPPED = frozenset({"enum"})


class OpenApi:
    """The documents, built when they are first asked for and kept while their kinds stay the same."""

    def __init__(self, state: ClusterState) -> None:
        self._resources = state.resources
        self._now = state.now
        self._index = b""
        self._changed = state.now()
        self._documents: dict[str, tuple[str, bytes]] = {}
        self._definitions: JSON | None = None

    def index(self) -> tuple[bytes, datetime]:
        """The list of documents, and since when it is as it is."""
        paths: JSON = {}
        for group, versions in self._resources.group_versions().items():
            for version in versions:
                name = f"apis/{group}/{version}" if group else f"api/{version}"
                url = f"{_INDEX}/{name}?hash={self._fingerprint(group, version)}"
                paths[name] = {"serverRelativeURL": url}
        body = encode({"paths": dict(sorted(paths.items()))})
        if body != self._index:
            self._index, self._changed = body, self._now().replace(microsecond=0)
        return self._index, self._changed

    def document(self, group: str, version: str) -> tuple[str, bytes] | None:
        """The fingerprint and the body of one group version; None when it is not served."""
        served = self._resources.served(group, version)
        if not served:
            return None
        name = f"{group}/{version}"
        fingerprint = self._fingerprint(group, version)
        kept = self._documents.get(name)
        if kept is None or kept[0] != fingerprint:
            kept = self._documents[name] = (fingerprint, encode(self._build(group, version, served)))
        return kept

    def _fingerprint(self, group: str, version: str) -> str:
        digest = hashlib.sha256(RELEASE.encode())
        for resource in self._resources.served(group, version):
            digest.update(f"{resource.plural} {resource.kind} {resource.namespaced}".encode())
            if resource.custom:
                digest.update(json.dumps(resource.custom, sort_keys=True).encode())
        return digest.hexdigest().upper()

    def _build(self, group: str, version: str, served: list[Resource]) -> JSON:
        paths: JSON = {}
        schemas: JSON = {}
        for resource in served:
            paths[_path(resource)] = _operations(resource)
            self._add_schema(resource, schemas)
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.36.2"},
            "paths": paths,
            "components": {"schemas": dict(sorted(schemas.items()))},
        }

    def _add_schema(self, resource: Resource, schemas: JSON) -> None:
        if resource.custom:
            kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
            source = (resource.custom.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
            package = ".".join(reversed(resource.group.split(".")))
            name = f"{package}.{resource.version}.{resource.kind}"
            schemas[name] = {**source, "x-kubernetes-group-version-kind": [kind]}
            return
        wanted = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        for name, definition in self._all_definitions().items():
            if wanted in definition.get("x-kubernetes-group-version-kind", ()):
                self._add_definition(name, schemas)
                return

    def _add_definition(self, name: str, schemas: JSON) -> None:
        if name in schemas:
            return
        definition = self._all_definitions()[name]
        schemas[name] = _as_openapi(definition)
        for reference in _references(definition):
            self._add_definition(reference, schemas)

    def _all_definitions(self) -> JSON:
        if self._definitions is None:
            folder = package_files.files("kubernetes_validate") / "kubernetes-json-schema" / RELEASE
            document = json.loads((folder / "_definitions.json").read_bytes())
            self._definitions = document.get("$defs") or document["definitions"]
        return self._definitions


def answer(documents: OpenApi, request: web.Request) -> web.Response | None:
    """The index or a document, 304 when the client has it; None for every other path."""
    path = request.path.rstrip("/")
    if path == _INDEX:
        return _dated(request, *documents.index())
    if not path.startswith(f"{_INDEX}/api"):
        return None
    parts = path.removeprefix(f"{_INDEX}/").split("/")
    if parts[0] == "api" and len(parts) == 2:
        found = documents.document("", parts[1])
    elif parts[0] == "apis" and len(parts) == 3:
        found = documents.document(parts[1], parts[2])
    else:
        return None
    return _conditional(request, *found) if found else None


def _conditional(request: web.Request, fingerprint: str, body: bytes) -> web.Response:
    tag = f'"{fingerprint}"'
    headers = {"ETag": tag, "Vary": "Accept"}
    if tag in request.headers.get("If-None-Match", ""):
        return not_modified(headers)
    headers["Content-Type"] = "application/json"
    return web.Response(body=body, headers=headers)


def _dated(request: web.Request, body: bytes, changed: datetime) -> web.Response:
    """The index has a date instead of an ETag, which is what kubectl's cache asks with."""
    headers = {"Last-Modified": format_datetime(changed, usegmt=True)}
    since = request.if_modified_since
    if since is not None and changed <= since:
        return not_modified(headers)
    return web.Response(body=body, headers={**headers, "Content-Type": "text/plain; charset=utf-8"})


def _path(resource: Resource) -> str:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    if resource.namespaced:
        root += "/namespaces/{namespace}"
    return f"{root}/{resource.plural}/{{name}}"


def _operations(resource: Resource) -> JSON:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    text = {"type": "string", "uniqueItems": True}
    names = ("dryRun", "fieldManager", "fieldValidation")
    parameters: list[JSON] = [{"name": name, "in": "query", "schema": text} for name in names]
    parameters.append({"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": True}})
    operation = {
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": kind,
    }
    return {"patch": operation}


def _as_openapi(value: Any) -> Any:
    """A definition in the dialect of OpenAPI: no `null` types, references wrapped when something stands
    beside them.
    """
    if isinstance(value, list):
        return [_as_openapi(item) for item in value]
    if not isinstance(value, dict):
        return value
    converted: JSON = {}
    for key, item in value.items():
        if key == "$ref" and isinstance(item, str):
            target = {
                "$ref": item.replace("#/$defs/", "#/components/schemas/").replace(
                    "#/definitions/", "#/components/schemas/"
                )
            }
            if len(value) == 1:
                return target
            converted["allOf"] = [target]
        elif key == "type" and isinstance(item, list):
            converted["type"] = next(one for one in item if one != "null")
        elif key in _DROPPED and not isinstance(item, dict):
            continue
        else:
            converted[key] = _as_openapi(item)
    return converted


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item.rsplit("/", 1)[-1]
            else:
                yield from _references(item)
