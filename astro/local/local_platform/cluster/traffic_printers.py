"""Columns and cells of what leads requests to pods, and of what limits and scales them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from . import printing
from .columns import (
    AGE,
    Cells,
    Column,
    Printer,
    age_of,
    spec_of,
    status_of,
)
from .printing import NONE, UNKNOWN, UNSET

JSON = dict[str, Any]


def _service(document: JSON, now: datetime) -> Cells:
    spec = spec_of(document)
    kind = spec.get("type", "ClusterIP")
    address = (spec.get("clusterIPs") or [spec.get("clusterIP") or NONE])[0]
    external = ",".join(spec.get("externalIPs") or [])
    if kind == "ExternalName":
        external = spec.get("externalName", "")
    elif kind == "LoadBalancer":
        ingress = (status_of(document).get("loadBalancer") or {}).get("ingress") or []
        balanced = [one.get("ip") or one.get("hostname", "") for one in ingress]
        external = ",".join([*balanced, *(spec.get("externalIPs") or [])]) or "<pending>"
    ports = printing.service_ports(spec.get("ports"))
    return [
        kind,
        address,
        external or NONE,
        ports,
        age_of(document, now),
        printing.labels(spec.get("selector")),
    ]


def _endpoints(document: JSON, now: datetime) -> Cells:
    return [printing.subset_endpoints(document.get("subsets")), age_of(document, now)]


def _endpoint_slice(document: JSON, now: datetime) -> Cells:
    ports = [str(one["port"]) if one.get("port") else "*" for one in document.get("ports") or []]
    addresses = [address for one in document.get("endpoints") or [] for address in one.get("addresses") or []]
    return [
        document.get("addressType", ""),
        printing.shortened(ports, UNSET),
        printing.shortened(addresses, UNSET),
        age_of(document, now),
    ]


def _ingress(document: JSON, now: datetime) -> Cells:
    spec = spec_of(document)
    hosts = [rule["host"] for rule in spec.get("rules") or [] if rule.get("host")]
    ingress = (status_of(document).get("loadBalancer") or {}).get("ingress") or []
    addresses = ",".join(one.get("ip") or one.get("hostname", "") for one in ingress)
    ports = "80, 443" if spec.get("tls") else "80"
    kind = spec.get("ingressClassName") or NONE
    return [kind, printing.shortened(hosts, "*"), addresses, ports, age_of(document, now)]


def _network_policy(document: JSON, now: datetime) -> Cells:
    return [printing.selector(spec_of(document).get("podSelector")), age_of(document, now)]


def _autoscaler(document: JSON, now: datetime) -> Cells:
    spec, status = spec_of(document), status_of(document)
    target = spec.get("scaleTargetRef") or {}
    least = spec.get("minReplicas")
    return [
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _targets(spec.get("metrics") or [], status.get("currentMetrics") or []),
        str(least) if least is not None else UNSET,
        str(spec.get("maxReplicas", 0)),
        str(status.get("currentReplicas", 0)),
        age_of(document, now),
    ]


def _targets(wanted: list[JSON], seen: list[JSON]) -> str:
    if not wanted:
        return NONE
    texts = []
    for index, metric in enumerate(wanted[:2]):
        source = metric.get("resource") or {}
        limit = (source.get("target") or {}).get("averageUtilization")
        current = (seen[index].get("resource") or {}).get("current") if index < len(seen) else None
        now = (current or {}).get("averageUtilization")
        shown = f"{now}%" if now is not None else UNKNOWN
        texts.append(
            f"{source.get('name', metric['type'].lower())}: {shown}/{limit}%" if limit else f"{UNKNOWN}/auto"
        )
    more = f" + {len(wanted) - 2} more..." if len(wanted) > 2 else ""
    return ", ".join(texts) + more


def _disruption_budget(document: JSON, now: datetime) -> Cells:
    spec = spec_of(document)
    limits = [
        str(spec[name]) if spec.get(name) is not None else "N/A"
        for name in ("minAvailable", "maxUnavailable")
    ]
    return [*limits, status_of(document).get("disruptionsAllowed", 0), age_of(document, now)]


TRAFFIC: dict[str, Printer] = {
    "Service": Printer(
        (
            Column("Type", ".spec.type"),
            Column("Cluster-IP", ".spec.clusterIP"),
            Column("External-IP", ".spec.externalIPs"),
            Column("Port(s)", ".spec.ports"),
            AGE,
            Column("Selector", ".spec.selector", wide=True),
        ),
        _service,
    ),
    "Endpoints": Printer((Column("Endpoints", ".subsets"), AGE), _endpoints),
    "EndpointSlice": Printer(
        (
            Column("AddressType", ".addressType"),
            Column("Ports", ".ports"),
            Column("Endpoints", ".endpoints"),
            AGE,
        ),
        _endpoint_slice,
    ),
    "Ingress": Printer(
        (
            Column("Class", ".spec.ingressClassName"),
            Column("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
            Column("Address", ".status.loadBalancer"),
            Column("Ports", "Ports of TLS configurations that open"),
            AGE,
        ),
        _ingress,
    ),
    "NetworkPolicy": Printer((Column("Pod-Selector", ".spec.podSelector"), AGE), _network_policy),
    "HorizontalPodAutoscaler": Printer(
        (
            Column("Reference", ".spec.scaleTargetRef"),
            Column("Targets", ".spec.metrics"),
            Column("MinPods", ".spec.minReplicas"),
            Column("MaxPods", ".spec.maxReplicas"),
            Column("Replicas", ".status.currentReplicas"),
            AGE,
        ),
        _autoscaler,
    ),
    "PodDisruptionBudget": Printer(
        (
            Column("Min Available", ".spec.minAvailable"),
            Column("Max Unavailable", ".spec.maxUnavailable"),
            Column("Allowed Disruptions", ".status.disruptionsAllowed", "integer"),
            AGE,
        ),
        _disruption_budget,
    ),
}
