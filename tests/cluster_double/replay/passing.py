"""Objects that were read while controllers or the node still worked on them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .passing_rows import COMING_UP, is_event_table, leaving, settled_rows
from .recordings import Scenario

# Resources that controllers or the node write: reading them is repeated until the recorded state is there.
MOVING = re.compile(
    r"/(?:pods|deployments|replicasets|jobs|events|endpoints|endpointslices|nodes|customresourcedefinitions"
    r"|httproutes)\b|/namespaces/[^/]+(?:/serviceaccounts.*|/configmaps/kube-root-ca.crt)?$"
)
_WORKLOADS = ("Deployment", "ReplicaSet", "Job")
_PHASES = ("Pending", "Running", "Succeeded", "Failed")
_CHANGED_AT = "endpoints.kubernetes.io/last-change-trigger-time"


def timing(scenario: Scenario) -> frozenset[str]:
    """The normalisations that a run may need or not, depending on who was quicker."""
    moving = [one for one in scenario.exchanges if one.status < 300 and MOVING.search(one.path)]
    found = {"passing state", "order"} if moving else set()
    if any(one.is_watch or one.path.endswith("/endpointslices") for one in moving):
        found.add("coalesced events")
    return frozenset(found)


def without_passing_states(recorded: Any, actual: Any) -> tuple[Any, Any]:
    """Both values; where the recorded object was in a passing state, without its status on either side."""
    if isinstance(recorded, Mapping) and isinstance(actual, Mapping):
        if recorded.get("kind") == "EventList":
            actual = _events_so_far(recorded, actual, "items")
        elif is_event_table(recorded):
            actual = _events_so_far(recorded, actual, "rows")
        actual = _without_later(recorded, actual)
        recorded = _without_gone(recorded, actual)
        if "types" in recorded and "last" in recorded and "types" in actual:
            recorded, actual = _open_ended(recorded, actual)
        recorded = _without_lost_time(recorded, actual)
        if recorded.get("kind") == "Table" and actual.get("kind") == "Table":
            recorded, actual = settled_rows(recorded, actual)
        if _is_workload(recorded) and recorded["status"].get("terminatingReplicas"):
            recorded = _without_leaving_pods(recorded)
            actual = _without_leaving_pods(actual) if _is_workload(actual) else actual
        if _is_passing(recorded, actual):
            recorded, actual = _settled_part(recorded), _settled_part(actual)
        keys = recorded.keys() & actual.keys()
        pairs = {key: without_passing_states(recorded[key], actual[key]) for key in keys}
        return (
            {key: pairs[key][0] if key in keys else item for key, item in recorded.items()},
            {key: pairs[key][1] if key in keys else item for key, item in actual.items()},
        )
    if _are_histories(recorded) and _are_histories(actual):
        recorded, actual = _ended_alike(recorded, actual)
    if isinstance(recorded, list) and isinstance(actual, list) and len(recorded) == len(actual):
        both = [without_passing_states(left, right) for left, right in zip(recorded, actual, strict=True)]
        return [left for left, _ in both], [right for _, right in both]
    return recorded, actual


def _events_so_far(recorded: Mapping[str, Any], actual: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    """The double's Events without those that the recording's reader came too early to see."""
    seen = [json.dumps(one, sort_keys=True) for one in recorded.get(part) or ()]
    kept = []
    for item in actual.get(part) or ():
        text = json.dumps(item, sort_keys=True)
        if text in seen:
            seen.remove(text)
            kept.append(item)
    return actual if seen else {**actual, part: kept}


def _without_gone(recorded: Mapping[str, Any], actual: Mapping[str, Any]) -> Mapping[str, Any]:
    """A list, or the objects of a watch, without those that were leaving and are gone in the double."""
    for name in ("items", "rows"):
        items, others = recorded.get(name), actual.get(name)
        if isinstance(items, list) and isinstance(others, list):
            surplus = max(len(items) - len(others), 0)
            gone = [one for one in items if leaving(one)][:surplus]
            return {**recorded, name: [one for one in items if not any(one is other for other in gone)]}
    return {key: value for key, value in recorded.items() if key in actual or not _left(value)}


def _without_lost_time(recorded: Mapping[str, Any], actual: Mapping[str, Any]) -> Mapping[str, Any]:
    """Endpoints without the time of their last change, where the double put that change into a later update.

    A Pod that was seen unready and gone in one look leaves no time behind.
    """
    metadata, other = recorded.get("metadata"), actual.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(other, Mapping):
        return recorded
    annotations = metadata.get("annotations") or {}
    if _CHANGED_AT not in annotations or _CHANGED_AT in (other.get("annotations") or {}):
        return recorded
    kept = {key: value for key, value in annotations.items() if key != _CHANGED_AT}
    rest = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**recorded, "metadata": {**rest, "annotations": kept} if kept else rest}


def _without_later(recorded: Mapping[str, Any], actual: Mapping[str, Any]) -> Mapping[str, Any]:
    """The double's watch without workloads that changed once more before it was closed."""
    return {key: value for key, value in actual.items() if key in recorded or not _came_later(value)}


def _came_later(histories: Any) -> bool:
    if not histories or not _are_histories(histories):
        return False
    return all(
        one["types"] == ["MODIFIED"]
        and isinstance(one.get("last"), Mapping)
        and one["last"].get("kind") in _WORKLOADS
        for one in histories
    )


def _open_ended(
    recorded: Mapping[str, Any], actual: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Two histories; when the recorded one ends in a passing state, without their last changes."""
    if recorded["types"] == ["ADDED", "MODIFIED"] and actual["types"] == ["ADDED"]:
        # The double's watch began after the change: its first state, which is compared, has it already.
        recorded = {**recorded, "types": ["ADDED"]}
    last, other = recorded["last"], actual.get("last")
    if not isinstance(last, Mapping) or not isinstance(other, Mapping) or not _is_passing(last, other):
        return recorded, actual

    def shortened(history: Mapping[str, Any]) -> dict[str, Any]:
        types = history["types"]
        return {**history, "types": types[:-1] if types[1:] and types[-1] == "MODIFIED" else types}

    return shortened(recorded), shortened(actual)


def _are_histories(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) and "types" in one for one in value)


def _ended_alike(
    recorded: list[Mapping[str, Any]], actual: list[Mapping[str, Any]]
) -> tuple[list[Any], list[Any]]:
    """Histories of objects that were leaving: whether the watch saw them go depends on when it was closed."""
    gone_left = [one for one in recorded if leaving(one.get("last"))]
    gone_right = [one for one in actual if leaving(one.get("last"))]
    surplus = abs(len(gone_left) - len(gone_right))
    if abs(len(recorded) - len(actual)) not in (0, surplus):
        return recorded, actual
    left = [one for one in recorded if not leaving(one.get("last"))]
    right = [one for one in actual if not leaving(one.get("last"))]
    return left, right


def _left(histories: Any) -> bool:
    """Whether a watch's histories are all of objects that were leaving, or only changed, when it began.

    The double may have been done with them before the watch began: its list then showed their last state.
    """
    if not isinstance(histories, list) or not histories:
        return False
    return all(isinstance(one, Mapping) and _was_over(one) for one in histories)


def _was_over(history: Mapping[str, Any]) -> bool:
    types = history.get("types")
    if types == ["MODIFIED"]:
        return True
    return isinstance(types, list) and types[-1] == "DELETED" and leaving(history.get("last"))


def _is_passing(obj: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
    """Whether the object's controller had work left at the moment of the recording."""
    kind, status, spec = obj.get("kind"), obj.get("status"), obj.get("spec")
    if not isinstance(status, Mapping) or not isinstance(spec, Mapping):
        return False
    if kind == "Pod" or "containers" in spec:
        return _passing_pod(obj, status, actual)
    if status.get("phase") == "Terminating":
        return True
    if kind == "CustomResourceDefinition" or "acceptedNames" in status:
        conditions = [one.get("type") for one in status.get("conditions") or ()]
        return "Established" not in conditions
    if kind == "Job" or "completionMode" in spec:
        return not status or bool(status.get("active"))
    if kind == "Scale":
        return _scaling(obj) or _scaling(actual)
    return _is_workload(obj) and _passing_workload(obj, spec, status)


def _scaling(scale: Mapping[str, Any]) -> bool:
    """Whether a workload's controller has not counted as many Pods as are wanted."""
    wanted, counted = (scale.get(part) or {} for part in ("spec", "status"))
    return bool(wanted.get("replicas", 0) != counted.get("replicas", 0))


def _is_workload(obj: Mapping[str, Any]) -> bool:
    spec, status = obj.get("spec"), obj.get("status")
    if not isinstance(spec, Mapping) or not isinstance(status, Mapping):
        return False
    return obj.get("kind") in _WORKLOADS or ("selector" in spec and "template" in spec)


def _without_leaving_pods(obj: Mapping[str, Any]) -> dict[str, Any]:
    """A workload without the count of its Pods that were leaving: how long they take is their node's."""
    status = {key: value for key, value in obj["status"].items() if key != "terminatingReplicas"}
    return {**obj, "status": status}


def _passing_pod(obj: Mapping[str, Any], status: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        return True
    later = (actual.get("status") or {}).get("phase")
    phase = status.get("phase")
    if phase in _PHASES and later in _PHASES and _PHASES.index(later) > _PHASES.index(phase):
        return True
    observed = status.get("observedGeneration")
    if _restarting(status) or (observed and observed != (obj.get("metadata") or {}).get("generation")):
        return True
    waiting = [
        (one.get("state") or {}).get("waiting", {}).get("reason")
        for one in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    ]
    return phase == "Pending" and (not waiting or any(reason in COMING_UP for reason in waiting))


def _restarting(status: Mapping[str, Any]) -> bool:
    """Whether a container goes round between running, terminated and back-off."""
    for one in status.get("containerStatuses") or ():
        reason = ((one.get("state") or {}).get("waiting") or {}).get("reason")
        if one.get("restartCount") or reason in ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull"):
            return True
    return False


def _passing_workload(obj: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    generation = (obj.get("metadata") or {}).get("generation")
    wanted = spec.get("replicas") or 0
    return (
        status.get("observedGeneration") != generation
        or wanted != status.get("readyReplicas", 0)
        or wanted != status.get("replicas", 0)
        or bool(status.get("unavailableReplicas"))
    )


def _settled_part(obj: Mapping[str, Any]) -> dict[str, Any]:
    metadata = dict(obj.get("metadata") or {})
    annotations = {
        key: value
        for key, value in (metadata.pop("annotations", None) or {}).items()
        if not key.startswith("deployment.kubernetes.io/")
    }
    metadata.pop("deletionGracePeriodSeconds", None)
    spec = {key: value for key, value in (obj.get("spec") or {}).items() if key != "nodeName"}
    return {**obj, "metadata": {**metadata, "annotations": annotations}, "spec": spec, "status": "<passing>"}
