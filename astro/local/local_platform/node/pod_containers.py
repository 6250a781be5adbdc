"""The containers of one pod: their probes, how they are stopped, and how planning and status see them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from local_platform.cluster.controllers.api import ApiClient
from local_platform.cluster.controllers.recorder import EventRecorder
from local_platform.cluster.controllers.resources import Object
from local_platform.node.actions import Actions
from local_platform.node.addresses import Addresses
from local_platform.node.container import Container
from local_platform.node.images import ImageStore
from local_platform.node.plan import View, is_sidecar, restarts
from local_platform.node.probes import Prober
from local_platform.node.status import ContainerView

ABNORMAL = "Warning"


@dataclass
class NodeServices:
    """What every pod of the node shares."""

    name: str
    host_ip: str
    folder: Path
    client: ApiClient
    session: aiohttp.ClientSession
    images: ImageStore
    recorder: EventRecorder
    addresses: Addresses
    allocatable: dict[str, str]
    services: list[Object] = field(default_factory=list)


class PodContainers:
    """All containers of `pod`, init containers included. `wake` is called when something has changed."""

    def __init__(self, node: NodeServices, pod: Object, folder: Path, wake: Callable[[], None]) -> None:
        self.pod = pod
        self.pod_ip = ""
        self._node = node
        self._wake = wake
        self._probers: dict[str, Prober] = {}
        self.probes: dict[str, Counter[tuple[str, str]]] = {}
        """By container, over all its attempts: how often each kind of probe had which result."""
        self.specs = specs_of(pod)
        self.by_name = {name: Container(folder / name, name, wake) for name in self.specs}

    def update(self, pod: Object) -> None:
        self.pod = pod
        self.specs = specs_of(pod)

    @property
    def running(self) -> bool:
        return any(container.running for container in self.by_name.values())

    def views(self) -> dict[str, View]:
        views = {}
        for name, container in self.by_name.items():
            prober = self._probers.get(name)
            attempt = container.current
            ending = attempt.ending if attempt else None
            views[name] = View(
                running=container.running,
                started=container.running and (prober is None or prober.verdicts.started),
                code=ending.code if ending else None,
                healthy=prober is None or prober.verdicts.healthy,
            )
        return views

    def status_views(self, *, over: bool) -> dict[str, ContainerView]:
        result = {}
        for name, container in self.by_name.items():
            prober = self._probers.get(name)
            running = container.running
            result[name] = ContainerView(
                current=container.current,
                previous=container.previous,
                waiting=container.waiting if not running and not over and self._may_run(name) else ("", ""),
                ready=running and prober is not None and prober.verdicts.started and prober.verdicts.ready,
                started=running and prober is not None and prober.verdicts.started,
            )
        return result

    def _may_run(self, name: str) -> bool:
        """Whether the container waits for a (first or next) start; one that has ended for good waits for
        nothing.
        """
        attempt = self.by_name[name].current
        ending = attempt.ending if attempt else None
        own = self.pod["spec"].get("restartPolicy", "Always")
        policy = "Always" if is_sidecar(self.specs[name]) else own
        return ending is None or restarts(policy, View(code=ending.code))

    def restart_unhealthy(self, name: str) -> None:
        prober = self._probers[name]
        container = self.by_name[name]
        if container.stopping and not container.stopping.done():
            return
        probe = prober.verdicts.failed_probe
        self.event(
            "Normal", "Killing", f"Container {name} failed {probe} probe, will be restarted", self.path(name)
        )
        field_name = f"{probe}Probe"
        grace = self.specs[name].get(field_name, {}).get("terminationGracePeriodSeconds", self.grace())
        self.stop(name, grace)

    def stop(self, name: str, grace: float) -> None:
        container = self.by_name[name]
        if not container.running or (container.stopping and not container.stopping.done()):
            return
        container.stopping = asyncio.get_running_loop().create_task(self._stop_container(name, grace))

    async def _stop_container(self, name: str, grace: float) -> None:
        container, spec = self.by_name[name], self.specs[name]
        hook: Object = (spec.get("lifecycle") or {}).get("preStop") or {}
        actions = Actions(self._node.session, self.pod_ip)

        async def before() -> None:
            assert container.current is not None
            outcome = await actions.run(hook, spec, container.current, grace)
            if not outcome.success:
                self.event(
                    ABNORMAL, "FailedPreStopHook", f"PreStopHook failed: {outcome.message}", self.path(name)
                )

        await container.stop(grace, before if hook else None, number=container.stop_signal)
        self._wake()

    def grace(self) -> float:
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        if metadata.get("deletionTimestamp"):
            return float(metadata.get("deletionGracePeriodSeconds") or 0)
        return float(spec.get("terminationGracePeriodSeconds", 30))

    async def stop_all(self, grace: float) -> None:
        """Main containers first and together, then the side-cars in reverse order."""
        self.stop_probing(readiness_too=True)
        mains = [name for name, spec in self.specs.items() if not is_sidecar(spec)]
        sidecars = [name for name, spec in self.specs.items() if is_sidecar(spec)]
        began = time.monotonic()
        for group in [mains, *([name] for name in reversed(sidecars))]:
            left = max(0.0, grace - (time.monotonic() - began))
            running = [name for name in group if name in self.by_name and self.by_name[name].running]
            for name in running:
                self.event("Normal", "Killing", f"Stopping container {name}", self.path(name))
            await asyncio.gather(*(self._stop_container(name, left) for name in running))

    def keep_probing(self) -> None:
        """Probers for exactly the attempts that run."""
        for name, container in self.by_name.items():
            prober = self._probers.get(name)
            if prober and (not container.running or prober.attempt.number != container.restarts):
                prober.stop()
                del self._probers[name]
            if container.running and name not in self._probers and container.current:
                self._probers[name] = Prober(
                    self.specs[name],
                    container.current,
                    Actions(self._node.session, self.pod_ip),
                    self._wake,
                    lambda kind, message, name=name: self._unhealthy(name, kind, message),  # type: ignore[misc]
                    self.probes.setdefault(name, Counter()),
                )

    def stop_probing(self, *, readiness_too: bool = False) -> None:
        for prober in self._probers.values():
            prober.stop()
            if readiness_too:
                prober.verdicts.ready = False
        if not readiness_too:
            self._probers.clear()

    def _unhealthy(self, name: str, kind: str, message: str) -> None:
        self.event(ABNORMAL, "Unhealthy", f"{kind.capitalize()} probe failed: {message}", self.path(name))

    def event(self, kind: str, reason: str, message: str, path: str = "") -> None:
        self._node.recorder.record(self.pod, kind, reason, message, path)

    def path(self, name: str) -> str:
        inits = {one["name"] for one in self.pod["spec"].get("initContainers") or []}
        return f"spec.{'initContainers' if name in inits else 'containers'}{{{name}}}"


def specs_of(pod: Object) -> dict[str, Object]:
    every = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    return {one["name"]: one for one in every}
