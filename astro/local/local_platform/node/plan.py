"""Which containers of a pod to start and to stop now: the pod's life cycle as one pure function.

Follows the kubelet's computePodActions: init containers one after the other, side-cars (init containers that
restart always) beside them, then the main containers; when the last main container has ended for good, the
side-cars go too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from local_platform.cluster.controllers.resources import Object


@dataclass(frozen=True)
class View:
    """One container as planning sees it: never run, running, or ended with a code."""

    running: bool = False
    started: bool = False
    code: int | None = None
    healthy: bool = True

    @property
    def fresh(self) -> bool:
        return not self.running and self.code is None


@dataclass
class Plan:
    """Names of containers. `restart` are running ones that a failed probe condemned; `finished` ends the
    pod.
    """

    start: list[str] = field(default_factory=list)
    restart: list[str] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)
    finished: bool = False


def is_sidecar(container: Object) -> bool:
    return container.get("restartPolicy") == "Always"


def restarts(policy: str, view: View) -> bool:
    """Whether the pod's restart policy wants an ended container again."""
    return policy == "Always" or (policy == "OnFailure" and view.code != 0)


def plan(spec: Object, views: Mapping[str, View]) -> Plan:
    """The next steps for a pod that is not being deleted."""
    policy = spec.get("restartPolicy", "Always")
    result = Plan()
    inits, mains = spec.get("initContainers") or [], spec["containers"]
    for container in inits + mains:
        if views[container["name"]].running and not views[container["name"]].healthy:
            result.restart.append(container["name"])
    begun = any(not views[main["name"]].fresh for main in mains)
    if begun and all(_over(policy, views[main["name"]]) for main in mains):
        return _wind_up(inits, views, result)
    if not _initialise(inits, views, policy, begun, result):
        return result
    for main in mains:
        view = views[main["name"]]
        if view.fresh or (not view.running and restarts(policy, view)):
            result.start.append(main["name"])
    return result


def _over(policy: str, view: View) -> bool:
    return not view.running and view.code is not None and not restarts(policy, view)


def _wind_up(inits: list[Object], views: Mapping[str, View], result: Plan) -> Plan:
    # Side-cars end in the reverse order of their start, so that a later one can still use an earlier one.
    running = [one["name"] for one in reversed(inits) if views[one["name"]].running]
    result.stop = running[:1]
    result.restart = []
    result.finished = not running
    return result


def _initialise(
    inits: list[Object], views: Mapping[str, View], policy: str, begun: bool, result: Plan
) -> bool:
    """Add what initialisation needs; True when the main containers may run."""
    for container in inits:
        name, view = container["name"], views[container["name"]]
        if is_sidecar(container):
            if not view.running:
                result.start.append(name)
            if not begun and not (view.running and view.started):
                return False
            continue
        if begun or view.code == 0:
            continue
        if view.fresh or (not view.running and policy != "Never"):
            result.start.append(name)
        elif not view.running:
            result.stop = [one["name"] for one in inits if views[one["name"]].running]
            result.finished = not result.stop
        return False
    return True
