"""Rules of Services (k8s.io/kubernetes `pkg/apis/core/validation`, `ValidateService`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .causes import Cause, duplicate, forbidden, invalid_value, required, unsupported
from .metadata_validation import label_causes
from .name_formats import label_errors, port_name_errors, port_number_errors

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_AFFINITIES = ("ClientIP", "None")


def service_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    kind = spec.get("type")
    ports = spec.get("ports") or []
    causes: list[Cause] = []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and kind != "ExternalName":
        causes.append(required("spec.ports"))
    if kind == "LoadBalancer" and headless:
        causes.append(
            invalid_value("spec.clusterIPs[0]", "None", "may not be set to 'None' for LoadBalancer services")
        )
    if kind == "ExternalName":
        causes += _external(spec)
    causes += _ports(ports)
    causes += label_causes("spec.selector", spec.get("selector"))
    if not spec.get("sessionAffinity"):
        causes.append(required("spec.sessionAffinity"))
    elif spec["sessionAffinity"] not in _AFFINITIES:
        causes.append(unsupported("spec.sessionAffinity", spec["sessionAffinity"], _AFFINITIES))
    if kind not in _TYPES:
        causes.append(unsupported("spec.type", kind, _TYPES))
    if old is not None:
        causes += _update(spec, old.get("spec") or {})
    return causes


def _external(spec: Mapping[str, Any]) -> list[Cause]:
    causes = []
    if spec.get("clusterIP") or spec.get("clusterIPs"):
        causes.append(forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
    if not spec.get("externalName"):
        causes.append(required("spec.externalName"))
    return causes


def _ports(ports: list[Any]) -> list[Cause]:
    causes = []
    names: set[str] = set()
    pairs: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        field = f"spec.ports[{index}]"
        name = port.get("name", "")
        if len(ports) > 1 and not name:
            causes.append(required(f"{field}.name"))
        elif name:
            causes += [invalid_value(f"{field}.name", name, one) for one in label_errors(name)]
            if name in names:
                causes.append(duplicate(f"{field}.name", name))
            names.add(name)
        number = port.get("port", 0)
        causes += [invalid_value(f"{field}.port", number, one) for one in port_number_errors(number)]
        protocol = port.get("protocol")
        if protocol not in _PROTOCOLS:
            causes.append(unsupported(f"{field}.protocol", protocol, _PROTOCOLS))
        target = port.get("targetPort", number)
        errors = port_name_errors(target) if isinstance(target, str) else port_number_errors(target)
        causes += [invalid_value(f"{field}.targetPort", target, one) for one in errors]
        if (protocol, number) in pairs:
            causes.append(duplicate(field, {"protocol": protocol, "port": number}))
        pairs.add((protocol, number))
    return causes


def _update(spec: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    if "ExternalName" in (spec.get("type"), old.get("type")):
        return []
    before, after = old.get("clusterIPs") or [], spec.get("clusterIPs") or []
    if before and before[0] != (after[0] if after else None):
        return [invalid_value("spec.clusterIPs[0]", after, "may not change once set")]
    return []
