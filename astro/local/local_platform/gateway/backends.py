"""Services and EndpointSlices as Envoy clusters and endpoints.

Every function is pure: Kubernetes objects (as the API sends them) in, Envoy resources (as JSON objects) out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

CLUSTER_TYPE = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINTS_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True, order=True)
class Backend:
    """One port of one Service: what a backendRef names."""

    namespace: str
    service: str
    port: int

    @property
    def cluster(self) -> str:
        """Name of the Envoy cluster, and so the value of the metric label `envoy_cluster_name`."""
        return f"{self.namespace}/{self.service}/{self.port}"

    @property
    def endpoints_file(self) -> str:
        """File that holds the cluster's endpoints; a Kubernetes name contains neither `_` nor `/`."""
        return f"{self.namespace}_{self.service}_{self.port}.json"


def service_port_name(service: Mapping[str, Any], port: int) -> str | None:
    """Name of the Service's port with this number ('' for an unnamed one), None if it has no such port."""
    for entry in service.get("spec", {}).get("ports") or []:
        if entry.get("port") == port:
            return str(entry.get("name") or "")
    return None


def ready_addresses(
    backend: Backend, port_name: str, slices: Iterable[Mapping[str, Any]]
) -> list[tuple[str, int]]:
    """Address and port of each endpoint that may get new requests, in a stable order.

    An endpoint that terminates is left out although it may still be `serving`: its pod gets SIGTERM soon, and
    requests sent now would race with it. An absent `ready` means ready (EndpointConditions).
    """
    found: set[tuple[str, int]] = set()
    for endpoint_slice in slices:
        metadata = endpoint_slice["metadata"]
        if metadata.get("namespace") != backend.namespace:
            continue
        if (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL) != backend.service:
            continue
        numbers = [
            entry["port"]
            for entry in endpoint_slice.get("ports") or []
            if str(entry.get("name") or "") == port_name and entry.get("port")
        ]
        for endpoint in endpoint_slice.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is False or conditions.get("terminating"):
                continue
            found.update((address, number) for address in endpoint["addresses"] for number in numbers)
    return sorted(found)


def cluster(backend: Backend, endpoints_path: str) -> Json:
    """Envoy cluster whose endpoints come from the file `endpoints_path`.

    Removed endpoints finish what they have in flight: Envoy drains their connection pools, and
    `close_connections_on_host_health_failure` stays off. Active health checks are not used: readiness is the
    node's word, and a second judge would keep an endpoint that was taken out.

    Passive outlier detection looks at connection failures only (`split_external_local_origin_errors`): a pod
    that died without a word is left out until its endpoint is gone. Responses of the application, 5xx among
    them, must not move traffic: judging them is the rollout controller's work, and an ejected canary would
    hide what it is watched for.

    Idle upstream connections close after 4 s, before the server's own keep-alive ends (5 s in uvicorn): a
    request never meets a connection that the server is just closing.
    """
    return {
        "@type": CLUSTER_TYPE,
        "name": backend.cluster,
        "type": "EDS",
        "eds_cluster_config": {
            "eds_config": {"path_config_source": {"path": endpoints_path}, "resource_api_version": "V3"}
        },
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 4096,
                    "max_pending_requests": 4096,
                    "max_requests": 4096,
                    "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 16},
                }
            ]
        },
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 2,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_local_origin_success_rate": 0,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
            "max_ejection_percent": 50,
            "interval": "1s",
            "base_ejection_time": "2s",
            "max_ejection_time": "10s",
        },
        "typed_extension_protocol_options": {
            HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": "4s"},
            }
        },
    }


def load_assignment(backend: Backend, addresses: Iterable[tuple[str, int]]) -> Json:
    """Envoy endpoints of a cluster; no addresses is a valid answer and makes Envoy reply 503, counted."""
    hosts = [
        {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
        for address, port in addresses
    ]
    return {
        "@type": ENDPOINTS_TYPE,
        "cluster_name": backend.cluster,
        "endpoints": [{"lb_endpoints": hosts}] if hosts else [],
    }
