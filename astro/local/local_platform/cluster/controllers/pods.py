"""What controllers ask of pods."""

from __future__ import annotations

from datetime import UTC, datetime

from local_platform.cluster.controllers.resources import Object


def parse_time(text: str) -> float:
    """A metav1.Time in seconds since the epoch."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def is_active(pod: Object) -> bool:
    """Neither ended nor being deleted."""
    return phase(pod) not in ("Succeeded", "Failed") and not is_deleting(pod)


def is_deleting(item: Object) -> bool:
    return bool(item["metadata"].get("deletionTimestamp"))


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def condition(item: Object, kind: str) -> Object | None:
    for entry in (item.get("status") or {}).get("conditions") or []:
        if entry["type"] == kind:
            return dict(entry)
    return None


def is_ready(pod: Object) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def ready_since(pod: Object) -> float | None:
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return None
    return parse_time(found["lastTransitionTime"])


def is_available(pod: Object, min_ready_seconds: int, now: float) -> bool:
    """Ready for at least `min_ready_seconds`."""
    since = ready_since(pod)
    return since is not None and (min_ready_seconds == 0 or since + min_ready_seconds <= now)


def pod_from_template(template: Object, owner: Object, reference: Object) -> Object:
    """A pod as controllers create it: the template's labels, annotations and finalizers, owned by `owner`."""
    source = template.get("metadata") or {}
    metadata: Object = {
        "generateName": owner["metadata"]["name"] + "-",
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [reference],
    }
    for key in ("labels", "annotations", "finalizers"):
        if source.get(key):
            metadata[key] = source[key]
    return {"metadata": metadata, "spec": template["spec"]}


def deletion_rank(pod: Object, now: float) -> tuple[int, int, int, float, int, float]:
    """Sort key: who goes first when a ReplicaSet shrinks (client-go's ActivePodsWithRanks, without the
    node ranks).
    """
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}
    since = ready_since(pod)
    restarts = sum(
        one.get("restartCount", 0) for one in (pod.get("status") or {}).get("containerStatuses") or []
    )
    return (
        1 if pod["spec"].get("nodeName") else 0,
        phases.get(phase(pod), 2),
        1 if is_ready(pod) else 0,
        now - since if since is not None else 0.0,
        -restarts,
        now - parse_time(pod["metadata"]["creationTimestamp"]),
    )
