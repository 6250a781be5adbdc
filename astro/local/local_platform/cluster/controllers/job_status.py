"""When a Job has succeeded or failed, and the conditions that say so."""

from __future__ import annotations

import time

from local_platform.cluster.controllers.pods import parse_time, phase
from local_platform.cluster.controllers.resources import Object

Verdict = tuple[str, str, str]
"""Condition type, reason, message."""


def has_condition(status: Object, kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in status.get("conditions") or [])


def finished_condition(status: Object) -> Object | None:
    for one in status.get("conditions") or []:
        if one["type"] in ("Complete", "Failed") and one["status"] == "True":
            return dict(one)
    return None


def add_condition(
    status: Object, kind: str, reason: str, message: str, now: str, value: str = "True"
) -> Object:
    """The status with a condition; one that is there already stays as it is."""
    known = next((one for one in status.get("conditions") or [] if one["type"] == kind), None)
    if known and known["status"] == value:
        return status
    fresh = {
        "type": kind,
        "status": value,
        "lastProbeTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
    others = [one for one in status.get("conditions") or [] if one["type"] != kind]
    return {**status, "conditions": [*others, fresh]}


def set_suspended(status: Object, suspended: bool, now: str) -> Object:
    known = any(one["type"] == "Suspended" for one in status.get("conditions") or [])
    if suspended:
        fresh = add_condition(status, "Suspended", "JobSuspended", "Job suspended", now)
        fresh.pop("startTime", None)
        return fresh
    if known:
        resumed = add_condition(status, "Suspended", "JobResumed", "Job resumed", now, "False")
        if resumed is not status:
            resumed["startTime"] = now
        return resumed
    return status


def success_of(spec: Object, succeeded: int, pods: list[Object]) -> Verdict | None:
    """Enough pods succeeded; without `completions`, one did and none runs any more."""
    completions = spec.get("completions")
    if completions is None:
        running = any(phase(pod) in ("Pending", "Running") for pod in pods)
        reached = succeeded > 0 and not running
    else:
        reached = succeeded >= completions
    if not reached:
        return None
    return "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"


def failure_of(spec: Object, status: Object, failed: int) -> Verdict | None:
    """Too many failures, or too long."""
    if failed > spec.get("backoffLimit", 6):
        return "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline, start = spec.get("activeDeadlineSeconds"), status.get("startTime")
    if deadline is not None and start and time.time() - parse_time(start) >= deadline:
        return "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
    return None
