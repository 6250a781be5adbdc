"""When the change behind an update of endpoints happened: Kubernetes' TriggerTimeTracker.

The annotation `endpoints.kubernetes.io/last-change-trigger-time` lets a reader measure how long a pod's or a
Service's change took to reach the proxies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from local_platform.cluster.controllers.controller import Key
from local_platform.cluster.controllers.resources import Object, key_of, name_of

TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


@dataclass
class _Seen:
    """What the last look at a Service saw; times are RFC 3339 in whole seconds, so their texts compare."""

    service: str = ""
    pods: dict[str, str] = field(default_factory=dict)


class TriggerTimes:
    """Remembers, by Service, the times that an earlier look has seen."""

    def __init__(self) -> None:
        self._seen: dict[Key, _Seen] = {}

    def of(self, service: Object, pods: Iterable[Object]) -> str:
        """The earliest change since the last look at `service`; empty when no time has moved.

        A pod's time is its Ready condition's last transition, a Service's its creation. The first look at a
        Service gives the latter.
        """
        before = self._seen.get(key_of(service))
        created: str = service["metadata"]["creationTimestamp"]
        times = {name_of(pod): time for pod in pods if (time := _ready_since(pod))}
        self._seen[key_of(service)] = _Seen(created, times)
        if before is None:
            return created
        changed = [time for name, time in times.items() if time > before.pods.get(name, "")]
        if created > before.service:
            changed.append(created)
        return min(changed, default="")

    def forget(self, key: Key) -> None:
        """The Service is gone."""
        self._seen.pop(key, None)


def annotated(metadata: Object, trigger: str) -> Object:
    """`metadata` with the annotation of this change; a change without a time takes the former one away."""
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != TRIGGER_TIME}
    if trigger:
        annotations[TRIGGER_TIME] = trigger
    return {**metadata, "annotations": annotations}


def _ready_since(pod: Object) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Ready":
            return condition.get("lastTransitionTime") or ""
    return ""
