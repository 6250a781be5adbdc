"""The one word in which `kubectl get pods` sums a pod up (printPod of pkg/printers/internalversion)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .printing import duration, parse_time

JSON = dict[str, Any]

COMPLETED: dict[str, list[JSON]] = {
    "Succeeded": [
        {
            "type": "Completed",
            "status": "True",
            "reason": "Succeeded",
            "message": "The pod has completed successfully.",
        }
    ],
    "Failed": [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}],
}


@dataclass
class PodSummary:
    """`ready` of `total` containers, restarts, and the word."""

    reason: str
    total: int
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""

    def restarts_text(self, now: datetime) -> str:
        if not self.restarts or not self.last_restart:
            return str(self.restarts)
        ago = duration((now - parse_time(self.last_restart)).total_seconds())
        return f"{self.restarts} ({ago} ago)"


def summarise(pod: JSON) -> PodSummary:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    phase = status.get("phase", "")
    sidecars = {
        one["name"] for one in spec.get("initContainers") or [] if one.get("restartPolicy") == "Always"
    }
    summary = PodSummary(status.get("reason") or phase, len(spec.get("containers") or []) + len(sidecars))
    if any(one.get("reason") == "SchedulingGated" for one in _conditions(status, "PodScheduled")):
        summary.reason = "SchedulingGated"
    initializing = _init_containers(summary, spec, status, sidecars)
    initialized = any(one["status"] == "True" for one in _conditions(status, "Initialized"))
    if not initializing or initialized:
        _containers(summary, status, sidecars)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif phase not in ("Succeeded", "Failed"):
            summary.reason = "Terminating"
    return summary


def _conditions(status: JSON, kind: str) -> list[JSON]:
    return [one for one in status.get("conditions") or [] if one["type"] == kind]


def _init_containers(summary: PodSummary, spec: JSON, status: JSON, sidecars: set[str]) -> bool:
    """Whether an init container still has to finish; the summary then says which."""
    count = len(spec.get("initContainers") or [])
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        _count_restarts(summary, container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if container["name"] in sidecars and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            summary.reason = "Init:" + (terminated.get("reason") or _exit(terminated))
        elif waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            summary.reason = "Init:" + waiting["reason"]
        else:
            summary.reason = f"Init:{index}/{count}"
        return True
    return False


def _containers(summary: PodSummary, status: JSON, sidecars: set[str]) -> None:
    summary.restarts, summary.last_restart = 0, ""
    for container in status.get("initContainerStatuses") or []:
        if container["name"] in sidecars:
            _count_restarts(summary, container)
    running = False
    for container in _backwards(status.get("containerStatuses")):
        _count_restarts(summary, container)
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated is not None:
            summary.reason = terminated.get("reason") or _exit(terminated)
        elif container.get("ready") and "running" in state:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        ready = any(one["status"] == "True" for one in _conditions(status, "Ready"))
        summary.reason = "Running" if ready else "NotReady"


def _backwards(statuses: list[JSON] | None) -> Iterable[JSON]:
    return reversed(statuses or [])


def _count_restarts(summary: PodSummary, container: JSON) -> None:
    summary.restarts += container.get("restartCount", 0)
    ended = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
    summary.last_restart = max(summary.last_restart, ended)


def _exit(terminated: JSON) -> str:
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"
