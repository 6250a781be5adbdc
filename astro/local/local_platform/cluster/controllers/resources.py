"""Where the kinds that controllers and the node use live in the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One kind: its group and version, its plural, and whether it lives in a namespace."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = "/api/" if "/" not in self.api_version else "/apis/"
        parts = [root + self.api_version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


NAMESPACES = Resource("v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("v1", "nodes", "Node", namespaced=False)
PODS = Resource("v1", "pods", "Pod")
SERVICES = Resource("v1", "services", "Service")
ENDPOINTS = Resource("v1", "endpoints", "Endpoints")
CONFIG_MAPS = Resource("v1", "configmaps", "ConfigMap")
SECRETS = Resource("v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("v1", "serviceaccounts", "ServiceAccount")
EVENTS = Resource("v1", "events", "Event")
EVENTS_V1 = Resource("events.k8s.io/v1", "events", "Event")
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps/v1", "replicasets", "ReplicaSet")
JOBS = Resource("batch/v1", "jobs", "Job")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "endpointslices", "EndpointSlice")
LEASES = Resource("coordination.k8s.io/v1", "leases", "Lease")


def namespace_of(item: Object) -> str:
    return str(item["metadata"].get("namespace", ""))


def name_of(item: Object) -> str:
    return str(item["metadata"]["name"])


def key_of(item: Object) -> tuple[str, str]:
    return namespace_of(item), name_of(item)


def controller_of(item: Object) -> Object | None:
    """The owner reference of the controller that manages an object, if it has one."""
    for owner in item["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return dict(owner)
    return None


def owner_reference(owner: Object, resource: Resource) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name_of(owner),
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def matches_labels(selector: dict[str, str], labels: dict[str, str] | None) -> bool:
    return all((labels or {}).get(key) == value for key, value in selector.items())


def matches_selector(selector: Object, labels: dict[str, str] | None) -> bool:
    """Whether a LabelSelector (matchLabels and matchExpressions) selects an object with these labels."""
    if not matches_labels(selector.get("matchLabels") or {}, labels):
        return False
    return all(_matches_expression(part, labels or {}) for part in selector.get("matchExpressions") or [])


def _matches_expression(expression: Object, labels: dict[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    values = expression.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    return key not in labels
