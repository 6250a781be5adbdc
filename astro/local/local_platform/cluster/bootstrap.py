"""What a cluster holds before anybody wrote to it, and what every new namespace gets."""

from __future__ import annotations

import copy
from typing import Any

from . import definitions
from .crds import GATEWAY_API_CRDS
from .incoming import Options
from .state import ClusterState

JSON = dict[str, Any]

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
ROOT_CA = "kube-root-ca.crt"
IN_EVERY_NAMESPACE = {"configmaps": (ROOT_CA,), "serviceaccounts": ("default",)}
ROOT_CA_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such "
    "as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across "
    "distributions of Kubernetes clusters."
)


def prepare(state: ClusterState) -> None:
    """Bring a new or an old data folder to the state in which requests can be served; idempotent."""
    options = Options(manager="kube-apiserver", now=state.now())
    for name in NAMESPACES:
        _ensure(state, "", "v1", "namespaces", "", {"metadata": {"name": name}}, options)
        complete_namespace(state, name)
    for name, value in (("system-node-critical", 2000001000), ("system-cluster-critical", 2000000000)):
        _ensure(
            state,
            "scheduling.k8s.io",
            "v1",
            "priorityclasses",
            "",
            {"metadata": {"name": name}, "value": value, "description": "Used for system critical pods."},
            options,
        )
    _ensure(state, "", "v1", "services", "default", _kubernetes_service(), options)
    if state.settings.install_gateway_api:
        for definition in GATEWAY_API_CRDS:
            _install_once(state, definition, options)
    for stored in list(state.store.bucket(definitions.BUCKET).ordered(None)):
        definitions.establish(state, stored.name)


def complete_namespace(state: ClusterState, namespace: str) -> None:
    """The default service account and the CA bundle, which controllers put into every namespace."""
    options = Options(manager="kube-controller-manager", now=state.now())
    bundle: JSON = {
        "metadata": {"name": ROOT_CA, "annotations": {"kubernetes.io/description": ROOT_CA_DESCRIPTION}},
        "data": {"ca.crt": state.settings.certificate},
    }
    _ensure(state, "", "v1", "configmaps", namespace, bundle, options)
    _ensure(state, "", "v1", "serviceaccounts", namespace, {"metadata": {"name": "default"}}, options)


def restore_namespace(state: ClusterState, namespace: str) -> None:
    """Put back what somebody deleted of it, as its controllers do, unless the namespace goes away."""
    found = state.store.get("namespaces", "", namespace)
    if found is not None and "deletionTimestamp" not in found.document["metadata"]:
        complete_namespace(state, namespace)


def _install_once(state: ClusterState, definition: JSON, options: Options) -> None:
    name = definition["metadata"]["name"]
    if state.store.get(definitions.BUCKET, "", name) is None:
        _ensure(
            state,
            "apiextensions.k8s.io",
            "v1",
            "customresourcedefinitions",
            "",
            copy.deepcopy(definition),
            options,
        )
        definitions.establish(state, name)


def _ensure(
    state: ClusterState,
    group: str,
    version: str,
    plural: str,
    namespace: str,
    document: JSON,
    options: Options,
) -> None:
    resource = state.resources.find(group, version, plural)
    if resource is None:
        raise LookupError(f"{plural}.{group} is no kind of this server")
    if state.store.get(resource.bucket, namespace, document["metadata"]["name"]) is None:
        state.registry.create(resource, namespace, document, options)


def _kubernetes_service() -> JSON:
    return {
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "clusterIP": "10.96.0.1",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    }
