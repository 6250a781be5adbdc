"""The whole translation: what the cluster says, in; what Envoy shall do and what each route is told, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_platform.gateway.backends import Backend, ready_addresses, service_port_name
from local_platform.gateway.routes import Route, UnsupportedRoute, routes_of

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name of an object."""

ROUTE_CONFIGURATION = "platform"
ROUTE_TYPE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


@dataclass(frozen=True)
class World:
    """The objects that routing depends on, as the Kubernetes API sends them."""

    routes: Mapping[Key, Json]
    services: Mapping[Key, Json]
    slices: Mapping[Key, Json]


@dataclass(frozen=True)
class Condition:
    """One condition of a route's status, without its transition time."""

    type: str
    status: bool
    reason: str
    message: str


@dataclass(frozen=True)
class Translation:
    """Envoy's configuration and the verdict on each route.

    `backends` holds each Service port that some route names, with its ready addresses.
    """

    route_configuration: Json
    backends: Mapping[Backend, list[tuple[str, int]]]
    verdicts: Mapping[Key, tuple[Condition, ...]] = field(default_factory=dict)


def key_of(obj: Mapping[str, Any]) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def translate(world: World) -> Translation:
    """Translate every HTTPRoute; a route that cannot be translated is left out and told why."""
    backends: dict[Backend, list[tuple[str, int]]] = {}
    verdicts: dict[Key, tuple[Condition, ...]] = {}
    hosts: dict[str, list[tuple[Json, Route]]] = {}
    for key, http_route in sorted(world.routes.items()):
        resolver = _Resolver(world, key[0])
        try:
            routes = routes_of(http_route, resolver)
        except UnsupportedRoute as error:
            verdicts[key] = (Condition("Accepted", False, "UnsupportedValue", str(error)),)
            continue
        verdicts[key] = (
            Condition("Accepted", True, "Accepted", "the route is translated"),
            resolver.verdict(),
        )
        for backend, port_name in resolver.found.items():
            backends[backend] = ready_addresses(backend, port_name, world.slices.values())
        for hostname in http_route["spec"].get("hostnames") or ["*"]:
            hosts.setdefault(hostname.lower(), []).extend((http_route, route) for route in routes)
    return Translation(route_configuration(hosts), backends, verdicts)


class _Resolver:
    """Finds the backends of one route and remembers what it did not find."""

    def __init__(self, world: World, namespace: str) -> None:
        self._world = world
        self._namespace = namespace
        self.found: dict[Backend, str] = {}
        self.problems: dict[str, str] = {}

    def __call__(self, ref: Mapping[str, Any]) -> Backend | None:
        if ref.get("kind", "Service") != "Service" or ref.get("group", ""):
            self.problems.setdefault("InvalidKind", f"backendRef {ref['name']}: only Services are supported")
            return None
        namespace = ref.get("namespace", self._namespace)
        if namespace != self._namespace:
            self.problems.setdefault(
                "RefNotPermitted",
                f"backendRef {namespace}/{ref['name']}: another namespace needs a ReferenceGrant, "
                "which this gateway does not read",
            )
            return None
        backend = Backend(namespace, ref["name"], int(ref.get("port") or 0))
        service = self._world.services.get((namespace, backend.service))
        port_name = service_port_name(service, backend.port) if service else None
        if port_name is None:
            what = f"has no port {backend.port}" if service else "does not exist"
            self.problems.setdefault("BackendNotFound", f"Service {namespace}/{backend.service} {what}")
            return None
        self.found[backend] = port_name
        return backend

    def verdict(self) -> Condition:
        for reason, message in self.problems.items():
            return Condition("ResolvedRefs", False, reason, message)
        return Condition("ResolvedRefs", True, "ResolvedRefs", "every backendRef names a Service port")


def route_configuration(hosts: Mapping[str, Iterable[tuple[Json, Route]]]) -> Json:
    """Envoy's route table: one virtual host a hostname, whichever HTTPRoutes its routes come from."""
    virtual_hosts = [
        {
            "name": hostname,
            "domains": [hostname],
            "routes": [route.envoy for _, route in sorted(entries, key=_order)],
        }
        for hostname, entries in sorted(hosts.items())
    ]
    return {
        "@type": ROUTE_TYPE,
        "name": ROUTE_CONFIGURATION,
        "ignore_port_in_host_matching": True,
        "virtual_hosts": virtual_hosts,
    }


def _order(entry: tuple[Json, Route]) -> tuple[Any, ...]:
    """Specific matches first; ties go to the older route, then to the name, then to the earlier rule."""
    http_route, route = entry
    metadata = http_route["metadata"]
    age = metadata.get("creationTimestamp") or ""
    return (*route.precedence.key(), age, *key_of(http_route), route.rule)
