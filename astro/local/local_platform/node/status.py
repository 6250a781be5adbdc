"""The status a kubelet writes for a pod, as a function of its spec and what its containers do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local_platform.cluster.controllers.resources import Object
from local_platform.node.container import Attempt
from local_platform.node.plan import is_sidecar
from local_platform.node.quantities import parse_quantity

RUNTIME = "process"


@dataclass(frozen=True)
class ContainerView:
    """One container as its status shows it. `waiting` is (reason, message); empty when it does not wait."""

    current: Attempt | None = None
    previous: Attempt | None = None
    waiting: tuple[str, str] = ("", "")
    ready: bool = False
    started: bool = False


@dataclass(frozen=True)
class PodFacts:
    """What the node knows about a pod beside its containers."""

    host_ip: str
    pod_ip: str
    start_time: str
    now: str
    sandbox_ready: bool = True
    over: bool = False
    failure: tuple[str, str] = ("", "")


def time_text(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_status(pod: Object, views: Mapping[str, ContainerView], facts: PodFacts) -> Object:
    """The whole status. Conditions keep their transition time while they do not change."""
    spec, before = pod["spec"], pod.get("status") or {}
    inits, mains = spec.get("initContainers") or [], spec["containers"]
    initialised = all(_initialised(one, views[one["name"]]) for one in inits)
    phase = "Failed" if facts.failure[0] else pod_phase(spec, views, over=facts.over)
    status: Object = {
        "observedGeneration": pod["metadata"].get("generation", 1),
        "phase": phase,
        "conditions": _conditions(pod, views, facts, phase, initialised),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "startTime": facts.start_time,
        "qosClass": before.get("qosClass") or qos_class(spec),
    }
    if facts.failure[0]:
        status["reason"], status["message"] = facts.failure
    if facts.pod_ip:
        status["podIP"] = facts.pod_ip
        status["podIPs"] = [{"ip": facts.pod_ip}]
    default = "PodInitializing" if inits else "ContainerCreating"
    if inits:
        status["initContainerStatuses"] = [
            container_status(
                one, views[one["name"]], default, done=_initialised(one, views[one["name"]]), init=True
            )
            for one in inits
        ]
    status["containerStatuses"] = [container_status(one, views[one["name"]], default) for one in mains]
    resources = _pod_resources(mains)
    if "requests" in resources:
        status["allocatedResources"] = resources["requests"]
    status["resources"] = resources
    return status


def container_status(
    container: Object, view: ContainerView, default_reason: str, *, done: bool = False, init: bool = False
) -> Object:
    attempt = view.current
    result: Object = {
        "name": container["name"],
        "state": _state(view, default_reason),
        "lastState": _last_state(view),
        "ready": done if init and not is_sidecar(container) else view.ready,
        "restartCount": attempt.number if attempt else 0,
        "image": container["image"],
        "imageID": attempt.image_identifier if attempt else "",
        "started": view.started and bool(attempt and attempt.running),
    }
    resources = container.get("resources") or {}
    if attempt:
        result["containerID"] = f"{RUNTIME}://{attempt.identifier}"
        if requests := resources.get("requests"):
            result["allocatedResources"] = requests
        result["resources"] = resources
    if mounts := container.get("volumeMounts"):
        result["volumeMounts"] = [_mount_status(mount) for mount in mounts]
    return result


def _mount_status(mount: Object) -> Object:
    result = {"name": mount["name"], "mountPath": mount["mountPath"]}
    return result | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {})


def _state(view: ContainerView, default_reason: str) -> Object:
    attempt = view.current
    if attempt and attempt.running:
        return {"running": {"startedAt": time_text(attempt.started)}}
    if view.waiting[0]:
        reason, message = view.waiting
        return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    if attempt and attempt.ending:
        return {"terminated": _terminated(attempt)}
    return {"waiting": {"reason": default_reason}}


def _last_state(view: ContainerView) -> Object:
    waiting_again = view.waiting[0] and view.current and view.current.ending
    last = view.current if waiting_again else view.previous
    return {"terminated": _terminated(last)} if last and last.ending else {}


def _terminated(attempt: Attempt) -> Object:
    ending = attempt.ending
    assert ending is not None
    return {
        "exitCode": ending.code,
        "reason": ending.reason,
        **({"message": ending.message} if ending.message else {}),
        "startedAt": None if ending.reason == "StartError" else time_text(attempt.started),
        "finishedAt": time_text(ending.finished),
        "containerID": f"{RUNTIME}://{attempt.identifier}",
    }


def _initialised(container: Object, view: ContainerView) -> bool:
    if is_sidecar(container):
        return view.started
    ending = view.current.ending if view.current else None
    return ending is not None and ending.code == 0


def pod_phase(spec: Object, views: Mapping[str, ContainerView], *, over: bool) -> str:
    """The phase as the kubelet's getPhase computes it; `over` says that nothing of the pod will run again."""
    inits, mains = spec.get("initContainers") or [], spec["containers"]
    policy = spec.get("restartPolicy", "Always")
    endings = {name: view.current.ending if view.current else None for name, view in views.items()}
    began = any(views[main["name"]].current for main in mains)
    if not began:
        failed = any(
            not is_sidecar(one) and (ending := endings[one["name"]]) is not None and ending.code != 0
            for one in inits
        )
        return "Failed" if over or (failed and policy == "Never") else "Pending"
    if any(views[main["name"]].current is None for main in mains) and not over:
        return "Pending"
    if any((attempt := views[main["name"]].current) and attempt.running for main in mains):
        return "Running"
    succeeded = all((ending := endings[main["name"]]) is not None and ending.code == 0 for main in mains)
    if over:
        return "Succeeded" if succeeded else "Failed"
    if policy == "Always" or (policy == "OnFailure" and not succeeded):
        return "Running"
    return "Succeeded" if succeeded else "Failed"


def qos_class(spec: Object) -> str:
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    resources = [one.get("resources") or {} for one in containers]
    if not any(entry.get("limits") or entry.get("requests") for entry in resources):
        return "BestEffort"
    for entry in resources:
        limits = entry.get("limits") or {}
        requests = limits | (entry.get("requests") or {})
        if {"cpu", "memory"} - set(limits) or any(requests[key] != limits[key] for key in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def _conditions(
    pod: Object, views: Mapping[str, ContainerView], facts: PodFacts, phase: str, initialised: bool
) -> list[Object]:
    spec = pod["spec"]
    unready = [one["name"] for one in spec["containers"] if not views[one["name"]].ready]
    unready += [
        one["name"]
        for one in spec.get("initContainers") or []
        if is_sidecar(one) and not views[one["name"]].ready
    ]
    incomplete = [
        one["name"] for one in spec.get("initContainers") or [] if not _initialised(one, views[one["name"]])
    ]
    ready = _ready(phase, unready)
    if phase == "Succeeded":
        init = ("True", "PodCompleted", "")
    elif initialised:
        init = ("True", "", "")
    else:
        init = (
            "False",
            "ContainersNotInitialized",
            f"containers with incomplete status: [{' '.join(incomplete)}]",
        )
    wanted = [
        ("PodReadyToStartContainers", ("True" if facts.sandbox_ready else "False", "", "")),
        ("Initialized", init),
        ("Ready", ready),
        ("ContainersReady", ready),
        ("PodScheduled", ("True", "", "")),
    ]
    known = {entry["type"]: entry for entry in (pod.get("status") or {}).get("conditions") or []}
    generation = pod["metadata"].get("generation", 1)
    result = [_condition(kind, value, known.get(kind), generation, facts.now) for kind, value in wanted]
    ours = {kind for kind, _ in wanted}
    return result + [entry for kind, entry in known.items() if kind not in ours]


def _ready(phase: str, unready: list[str]) -> tuple[str, str, str]:
    if phase == "Failed":
        return "False", "PodFailed", ""
    if phase == "Succeeded":
        return "False", "PodCompleted", ""
    if unready:
        return "False", "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return "True", "", ""


def _condition(
    kind: str, value: tuple[str, str, str], known: Object | None, generation: int, now: str
) -> Object:
    status, reason, message = value
    unchanged = known is not None and known["status"] == status
    result: Object = {
        "type": kind,
        "observedGeneration": generation,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": known["lastTransitionTime"] if known is not None and unchanged else now,
    }
    return result | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def _pod_resources(containers: list[Object]) -> dict[str, dict[str, Any]]:
    """The containers' requests and limits added up, one container's written as it stands."""
    result: dict[str, dict[str, Any]] = {}
    for side in ("limits", "requests"):
        given = [(one.get("resources") or {}).get(side) or {} for one in containers]
        if side == "limits":
            names = set.intersection(*(set(entry) for entry in given))
        else:
            names = set().union(*given)
        if names:
            result[side] = {
                name: _add([entry[name] for entry in given if name in entry], name) for name in sorted(names)
            }
    return result


def _add(amounts: list[str], name: str) -> str:
    if len(amounts) == 1:
        return amounts[0]
    total = sum(parse_quantity(amount) for amount in amounts)
    if name == "cpu":
        return f"{int(total * 1000)}m" if total % 1 else str(int(total))
    for suffix, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if total % size == 0:
            return f"{int(total // size)}{suffix}"
    return str(int(total))
