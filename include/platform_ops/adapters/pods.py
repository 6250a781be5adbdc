"""What pods say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from platform_ops.core.errors import Refused

Object = Mapping[str, Any]
_FAILING = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)


def require_digests(manifest: Object) -> None:
    """Refused when a pod of this object would run an image that is not named by its digest.

    A tag may stand for something else tomorrow.
    """
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
        if "@sha256:" not in container.get("image", ""):
            named = f"{manifest['kind']} {manifest['metadata']['name']}"
            raise Refused(
                f"{named} names the image {container.get('image', '')!r} without a digest; "
                "write ${image} in the manifest template"
            )


def containers(pod: Object) -> list[Object]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def pod_failures(pods: Iterable[Object]) -> Iterator[str]:
    """What is wrong with pods, such as `CrashLoopBackOff: exit 1 (3 restarts)`."""
    for pod in pods:
        for condition in pod.get("status", {}).get("conditions") or ():
            if condition.get("reason") == "Unschedulable":
                yield f"Unschedulable: {condition.get('message', '')}"
        for status in containers(pod):
            if text := _container_failure(status):
                yield text


def _container_failure(status: Object) -> str | None:
    state = status.get("state", {})
    waiting, ended = state.get("waiting", {}), state.get("terminated", {})
    if waiting.get("reason") in _FAILING:
        reason, last = waiting["reason"], status.get("lastState", {}).get("terminated")
        detail = (
            f"{_exit(last)} ({status.get('restartCount', 0)} restarts)" if last else waiting.get("message")
        )
        return f"{reason}: {detail or 'no message'}"
    if ended and ended.get("exitCode") != 0:
        return f"{ended.get('reason', 'Error')}: {_exit(ended)} ({status.get('restartCount', 0)} restarts)"
    return None


def _exit(ended: Object) -> str:
    killed = ended.get("reason") == "OOMKilled"
    return "out of memory" if killed else f"exit {ended.get('exitCode')}"
