"""Conversions between the versions of kinds that are served more than once from one store.

Events are kept as core/v1 and autoscalers as autoscaling/v2; every other kind has one version.
"""

from __future__ import annotations

import json
from typing import Any

from .resources import Resource

JSON = dict[str, Any]

# core/v1 name: events.k8s.io/v1 name
_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_EVENT_FIELDS_BACK = {new: old for old, new in _EVENT_FIELDS.items()}
_METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"


def to_stored(resource: Resource, document: JSON) -> JSON:
    """The form in which a request's object is kept."""
    if resource.gvk == ("events.k8s.io", "v1", "Event"):
        return _renamed(document, _EVENT_FIELDS_BACK, "v1")
    if resource.gvk == ("autoscaling", "v1", "HorizontalPodAutoscaler"):
        return _autoscaler_to_v2(document)
    return document


def is_converted(resource: Resource) -> bool:
    """Whether objects of this resource are kept in another version than it serves."""
    return resource.gvk in (
        ("events.k8s.io", "v1", "Event"),
        ("autoscaling", "v1", "HorizontalPodAutoscaler"),
    )


def from_stored(resource: Resource, document: JSON) -> JSON:
    """The form in which `resource` serves a kept object."""
    if resource.gvk == ("events.k8s.io", "v1", "Event"):
        return _renamed(document, _EVENT_FIELDS, "events.k8s.io/v1")
    if resource.gvk == ("autoscaling", "v1", "HorizontalPodAutoscaler"):
        return _autoscaler_to_v1(document)
    if resource.custom and document.get("apiVersion") != resource.api_version:
        return {**document, "apiVersion": resource.api_version}
    return document


def _renamed(document: JSON, names: dict[str, str], api_version: str) -> JSON:
    renamed = {names.get(key, key): value for key, value in document.items()}
    renamed["apiVersion"] = api_version
    return renamed


def _autoscaler_to_v2(document: JSON) -> JSON:
    spec = dict(document.get("spec") or {})
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    metadata = dict(document.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    metrics = json.loads(annotations.pop(_METRICS_ANNOTATION, "[]"))
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    status = dict(document.get("status") or {})
    status.pop("currentCPUUtilizationPercentage", None)
    return {**document, "apiVersion": "autoscaling/v2", "metadata": metadata, "spec": spec, "status": status}


def _autoscaler_to_v1(document: JSON) -> JSON:
    spec = dict(document.get("spec") or {})
    others = []
    for metric in spec.pop("metrics", None) or []:
        resource = metric.get("resource") or {}
        average = (resource.get("target") or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and resource.get("name") == "cpu" and average is not None:
            spec["targetCPUUtilizationPercentage"] = average
        else:
            others.append(metric)
    spec.pop("behavior", None)
    metadata = dict(document.get("metadata") or {})
    if others:
        annotations = {**(metadata.get("annotations") or {}), _METRICS_ANNOTATION: json.dumps(others)}
        metadata["annotations"] = annotations
    status = {
        key: value
        for key, value in (document.get("status") or {}).items()
        if key not in ("currentMetrics", "conditions")
    }
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    return {**document, "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}
