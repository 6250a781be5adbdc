"""What a Deployment says about itself: counts and the conditions Available and Progressing."""

from __future__ import annotations

from local_platform.cluster.controllers.pods import parse_time
from local_platform.cluster.controllers.recorder import now_text
from local_platform.cluster.controllers.resources import Object, name_of
from local_platform.cluster.controllers.rolling import Bounds


def find_condition(status: Object, kind: str) -> Object | None:
    return next((one for one in status.get("conditions") or [] if one["type"] == kind), None)


def with_condition(status: Object, kind: str, value: str, reason: str, message: str, now: float) -> Object:
    """The status with a condition set. Nothing moves when status and reason are what they were."""
    known = find_condition(status, kind)
    if known and known["status"] == value and known["reason"] == reason:
        return status
    text = now_text(now)
    fresh = {
        "type": kind,
        "status": value,
        "lastUpdateTime": text,
        "lastTransitionTime": known["lastTransitionTime"] if known and known["status"] == value else text,
        "reason": reason,
        "message": message,
    }
    others = [one for one in status.get("conditions") or [] if one["type"] != kind]
    return {**status, "conditions": [*others, fresh]}


def without_condition(status: Object, kind: str) -> Object:
    return {**status, "conditions": [one for one in status.get("conditions") or [] if one["type"] != kind]}


def counts(deployment: Object, new: Object | None, every: list[Object]) -> Object:
    """The numbers of the status, zeros left out as the API server does."""
    replicas = _sum(every, "replicas")
    available = _sum(every, "availableReplicas")
    wanted = sum(one["spec"].get("replicas", 0) for one in every)
    numbers = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": replicas,
        "updatedReplicas": _sum([new] if new else [], "replicas"),
        "readyReplicas": _sum(every, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
    }
    before = deployment.get("status") or {}
    result: Object = {key: value for key, value in numbers.items() if value}
    result["terminatingReplicas"] = _sum(every, "terminatingReplicas")
    for kept in ("collisionCount", "conditions"):
        if before.get(kept):
            result[kept] = before[kept]
    return result


def _sum(sets: list[Object], field: str) -> int:
    return sum((one.get("status") or {}).get(field, 0) for one in sets)


def with_availability(status: Object, replicas: int, limits: Bounds, now: float) -> Object:
    if status.get("availableReplicas", 0) >= replicas - limits.unavailable:
        return with_condition(
            status,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
            now,
        )
    return with_condition(
        status,
        "Available",
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
        now,
    )


def is_complete(deployment: Object, status: Object) -> bool:
    replicas = deployment["spec"].get("replicas", 1)
    return bool(
        status.get("updatedReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
        and status.get("availableReplicas", 0) == replicas
        and status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    )


def has_progressed(deployment: Object, status: Object) -> bool:
    """Whether there are more new pods, fewer old ones, or more ready or available ones than last time."""
    before = deployment.get("status") or {}
    updated, updated_before = status.get("updatedReplicas", 0), before.get("updatedReplicas", 0)
    old = status.get("replicas", 0) - updated
    old_before = before.get("replicas", 0) - updated_before
    return bool(
        updated > updated_before
        or old < old_before
        or status.get("readyReplicas", 0) > before.get("readyReplicas", 0)
        or status.get("availableReplicas", 0) > before.get("availableReplicas", 0)
    )


def deadline_left(deployment: Object, status: Object, now: float) -> float | None:
    """Seconds until the rollout counts as stuck (negative: it is stuck); None without a deadline."""
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    condition = find_condition(status, "Progressing")
    if deadline is None or deadline == 2**31 - 1 or condition is None:
        return None
    if condition["reason"] == "NewReplicaSetAvailable":
        return None
    return float(parse_time(condition["lastUpdateTime"]) + deadline - now)


def with_progress(deployment: Object, status: Object, new: Object | None, now: float) -> Object:
    """The Progressing condition: complete, moving, or past its deadline."""
    if deployment["spec"].get("progressDeadlineSeconds") in (None, 2**31 - 1):
        return without_condition(status, "Progressing")
    known = find_condition(status, "Progressing")
    complete_before = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and known is not None
        and known["reason"] == "NewReplicaSetAvailable"
    )
    if complete_before:
        return status
    what = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if is_complete(deployment, status):
        message = f"{what} has successfully progressed."
        return with_condition(status, "Progressing", "True", "NewReplicaSetAvailable", message, now)
    if has_progressed(deployment, status):
        message = f"{what} is progressing."
        if known and known["status"] == "True" and known["reason"] == "ReplicaSetUpdated":
            # Progress restarts the deadline: the update time moves although status and reason stay.
            fresh = {**known, "lastUpdateTime": now_text(now), "message": message}
            return {**status, "conditions": [fresh if one is known else one for one in status["conditions"]]}
        return with_condition(status, "Progressing", "True", "ReplicaSetUpdated", message, now)
    left = deadline_left(deployment, status, now)
    if left is not None and left < 0:
        message = f"{what} has timed out progressing."
        return with_condition(status, "Progressing", "False", "ProgressDeadlineExceeded", message, now)
    return status
