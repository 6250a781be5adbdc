"""Objects that were read while controllers or the node still worked on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WORKLOADS = ("Deployment", "ReplicaSet", "Job")


def without_passing_states(recorded: Any, actual: Any) -> tuple[Any, Any]:
    """Both values; where the recorded object was in a passing state, without its status on either side."""
    if isinstance(recorded, Mapping) and isinstance(actual, Mapping):
        if _is_passing(recorded):
            recorded, actual = _settled_part(recorded), _settled_part(actual)
        keys = recorded.keys() & actual.keys()
        pairs = {key: without_passing_states(recorded[key], actual[key]) for key in keys}
        return (
            {key: pairs[key][0] if key in keys else item for key, item in recorded.items()},
            {key: pairs[key][1] if key in keys else item for key, item in actual.items()},
        )
    if isinstance(recorded, list) and isinstance(actual, list) and len(recorded) == len(actual):
        both = [without_passing_states(left, right) for left, right in zip(recorded, actual, strict=True)]
        return [left for left, _ in both], [right for _, right in both]
    return recorded, actual


def _is_passing(obj: Mapping[str, Any]) -> bool:
    """Whether the object's controller had work left at the moment of the recording."""
    kind, status, spec = obj.get("kind"), obj.get("status"), obj.get("spec")
    if not isinstance(status, Mapping) or not isinstance(spec, Mapping):
        return False
    if kind == "Pod" or "containers" in spec:
        return status.get("phase") == "Pending" and "containerStatuses" not in status
    if kind == "Job" or "completionMode" in spec:
        return not status or bool(status.get("active"))
    if kind in _WORKLOADS or ("selector" in spec and "template" in spec):
        generation = (obj.get("metadata") or {}).get("generation")
        wanted = spec.get("replicas")
        return (
            status.get("observedGeneration") != generation
            or (wanted or 0) != status.get("readyReplicas", 0)
            or status.get("replicas", 0) != (wanted or 0)
            or bool(status.get("unavailableReplicas") or status.get("terminatingReplicas"))
        )
    return False


def _settled_part(obj: Mapping[str, Any]) -> dict[str, Any]:
    metadata = dict(obj.get("metadata") or {})
    annotations = {
        key: value
        for key, value in (metadata.pop("annotations", None) or {}).items()
        if not key.startswith("deployment.kubernetes.io/")
    }
    spec = {key: value for key, value in (obj.get("spec") or {}).items() if key != "nodeName"}
    return {**obj, "metadata": {**metadata, "annotations": annotations}, "spec": spec, "status": "<passing>"}
