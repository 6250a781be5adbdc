"""Brings one pod from what it is to what the API says it should be, again and again until it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import aiohttp

from local_platform.cluster.controllers.api import MERGE_PATCH, ApiClient, ApiError, ApiUnavailableError
from local_platform.cluster.controllers.recorder import EventRecorder, now_text
from local_platform.cluster.controllers.resources import PODS, Object
from local_platform.node.actions import Actions
from local_platform.node.addresses import Addresses
from local_platform.node.backoff import Backoff
from local_platform.node.container import Container, remove_tree
from local_platform.node.images import ImageStore
from local_platform.node.launch import Launcher, LaunchError
from local_platform.node.plan import View, is_sidecar, plan, restarts
from local_platform.node.probes import Prober
from local_platform.node.sources import PodSources
from local_platform.node.status import ContainerView, PodFacts, pod_status
from local_platform.node.volumes import VolumeError, prepare_volumes

log = logging.getLogger(__name__)

RETRY = 2.0
VOLUME_REFRESH = 30.0
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


class PodWorker:
    """The pod `pod` on this node. Changes come in by `update`; `run` returns when nothing of the pod is left."""

    def __init__(self, node: NodeServices, pod: Object) -> None:
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self._node = node
        self.folder = node.folder / "pods" / self.uid
        self._wakeup = asyncio.Event()
        self._terminating = asyncio.Event()
        every = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
        self.containers = {
            one["name"]: Container(self.folder / "containers" / one["name"], one["name"], self.wake)
            for one in every
        }
        self._specs = {one["name"]: one for one in every}
        self._probers: dict[str, Prober] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._retry_at: dict[str, float] = {}
        self._over = False
        self._settled = False
        self.deleted_from_api = False
        self._failure = ("", "")
        self._start_time: str = (pod.get("status") or {}).get("startTime") or now_text()
        self._volumes_fresh_until = 0.0
        self._published: Object | None = None
        self.pod_ip = ""
        self._sources = PodSources(node.client, pod)
        self._launcher = Launcher(node, self._sources, self.folder)

    def update(self, pod: Object) -> None:
        self.pod = pod
        self._specs = {
            one["name"]: one
            for one in [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
        }
        self._published = pod.get("status")
        if pod["metadata"].get("deletionTimestamp"):
            self._terminating.set()
        self.wake()

    def gone(self) -> None:
        """The API holds the pod no more: end it at once."""
        self.deleted_from_api = True
        self._terminating.set()
        self.wake()

    def every_spec(self) -> list[Object]:
        """The specs of init containers and containers, as they stand now."""
        return list(self._specs.values())

    def wake(self) -> None:
        self._wakeup.set()

    async def run(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for container in self.containers.values():
            container.adopt()
        # What an ended pod's status says was written when its containers were still known.
        self._over = self._settled = (self.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if self.pod["metadata"].get("deletionTimestamp"):
            self._terminating.set()
        while not self._terminating.is_set():
            self._wakeup.clear()
            delay = await self._until_terminating(self._sync_safely())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), delay)
        await self._terminate()

    async def _until_terminating(self, work: object) -> float | None:
        """Do `work`, but leave it when the pod is to go: a slow pull must not hold a deletion up."""
        task = asyncio.ensure_future(work)  # type: ignore[arg-type]
        stop = asyncio.ensure_future(self._terminating.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()  # type: ignore[no-any-return]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return 0.0

    async def _sync_safely(self) -> float | None:
        try:
            return await self._sync()
        except (ApiError, ApiUnavailableError) as error:
            log.info("pod %s: %s", self._label, error)
            return RETRY

    async def _sync(self) -> float | None:
        """One look at the pod; returns after how many seconds to look again (None: only when something happens)."""
        if self._over:
            await self._publish()
            return None
        if not self.pod_ip:
            await self._publish()
            self.pod_ip = self._node.addresses.give(self.uid)
        if deadline := self._past_deadline():
            return await self._end_for_deadline(deadline)
        if not await self._volumes_ready():
            await self._publish()
            return RETRY
        self._keep_probing()
        steps = plan(self.pod["spec"], self._views())
        for name in steps.restart:
            self._restart_unhealthy(name)
        for name in steps.stop:
            self._stop(name, self._grace(name))
        if steps.finished:
            self._over = True
            self._stop_probing()
            await self._publish()
            return None
        for name in steps.start:
            await self._start(name)
        self._keep_probing()
        await self._publish()
        return self._next_look()

    # What is, for planning and for the status.

    def _views(self) -> dict[str, View]:
        views = {}
        for name, container in self.containers.items():
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

    def _status_views(self) -> dict[str, ContainerView]:
        result = {}
        for name, container in self.containers.items():
            prober = self._probers.get(name)
            running = container.running
            result[name] = ContainerView(
                current=container.current,
                previous=container.previous,
                waiting=container.waiting if not running and self._may_run(name) else ("", ""),
                ready=running and prober is not None and prober.verdicts.started and prober.verdicts.ready,
                started=running and prober is not None and prober.verdicts.started,
            )
        return result

    def _may_run(self, name: str) -> bool:
        """Whether the container waits for a (first or next) start; one that has ended for good waits for nothing."""
        attempt = self.containers[name].current
        ending = attempt.ending if attempt else None
        policy = "Always" if is_sidecar(self._specs[name]) else self.pod["spec"].get("restartPolicy", "Always")
        return not self._over and (ending is None or restarts(policy, View(code=ending.code)))

    def status(self) -> Object:
        facts = PodFacts(
            host_ip=self._node.host_ip,
            pod_ip=self.pod_ip or (self.pod.get("status") or {}).get("podIP", ""),
            start_time=self._start_time,
            now=now_text(),
            sandbox_ready=bool(self.pod_ip) and not self._over,
            over=self._over,
            failure=self._failure,
        )
        return pod_status(self.pod, self._status_views(), facts)

    async def _publish(self) -> None:
        if self.deleted_from_api or self._settled:
            return
        status = self.status()
        before = self._published if self._published is not None else self.pod.get("status") or {}
        if status == before:
            return
        body: Object = {**status, **{key: None for key in before if key not in status}}
        metadata = self.pod["metadata"]
        patch = {"metadata": {"uid": self.uid}, "status": body}
        try:
            answer = await self._node.client.patch(
                PODS, metadata["namespace"], metadata["name"], patch, subresource="status", kind=MERGE_PATCH
            )
        except ApiError as error:
            if error.not_found or error.conflict:
                self.gone()
                return
            raise
        self._published = answer.get("status")
        self.pod["status"] = dict(answer.get("status") or {})

    def _placed_pod(self) -> Object:
        """The pod with its addresses, whether or not the API knows them yet: the downward API needs them."""
        status = {**(self.pod.get("status") or {}), "hostIP": self._node.host_ip, "podIP": self.pod_ip}
        return {**self.pod, "status": status}

    # What is done.

    async def _volumes_ready(self) -> bool:
        if time.monotonic() < self._volumes_fresh_until:
            return True
        running = any(container.running for container in self.containers.values())
        try:
            await prepare_volumes(
                self._placed_pod(),
                self.folder / "volumes",
                self._sources.lookup,
                self._sources.token,
                self._node.allocatable,
            )
        except VolumeError as error:
            self._event(ABNORMAL, "FailedMount", str(error))
            return running
        except ApiUnavailableError:
            if not running:
                raise
            return True
        self._volumes_fresh_until = time.monotonic() + VOLUME_REFRESH
        return True

    async def _start(self, name: str) -> None:
        container, spec = self.containers[name], self._specs[name]
        if container.stopping and not container.stopping.done():
            return
        if self._waits(name):
            return
        try:
            await self._launcher.launch(container, spec, self._placed_pod(), self.pod_ip, self._publish)
        except LaunchError as error:
            container.waiting = (error.reason, error.message)
            if error.retry_after is None:
                self.wake()
            else:
                self._retry_at[name] = time.time() + error.retry_after
            return
        container.waiting = ("", "")
        if container.current and "postStart" in (spec.get("lifecycle") or {}):
            await self._post_start(container, spec)

    def _waits(self, name: str) -> bool:
        """Whether the container's turn has not come yet, because it failed shortly before."""
        now = time.time()
        if now < self._retry_at.get(name, 0.0):
            return True
        container = self.containers[name]
        ending = container.current.ending if container.current else None
        if ending is None:
            return False
        backoff = self._backoffs.setdefault(name, Backoff.after(container.restarts, now))
        failed_at = ending.finished / 1e9
        remaining = backoff.remaining(failed_at, now)
        if remaining > 0:
            where = f"{self._label}({self.uid})"
            message = f"back-off {_duration(backoff.delay)} restarting failed container={name} pod={where}"
            if container.waiting[0] != "CrashLoopBackOff":
                self._event(
                    ABNORMAL,
                    "BackOff",
                    f"Back-off restarting failed container {name} in pod {where}",
                    self._path(name),
                )
            container.waiting = ("CrashLoopBackOff", message)
            self._retry_at[name] = now + remaining
            return True
        backoff.retry(failed_at, now)
        return False

    async def _post_start(self, container: Container, spec: Object) -> None:
        assert container.current is not None
        hook = spec["lifecycle"]["postStart"]
        actions = Actions(self._node.session, self.pod_ip)
        outcome = await actions.run(hook, spec, container.current, 300)
        if not outcome.success:
            self._event(
                ABNORMAL,
                "FailedPostStartHook",
                f"PostStartHook failed: {outcome.message}",
                self._path(spec["name"]),
            )
            self._stop(spec["name"], self._grace(spec["name"]))

    def _restart_unhealthy(self, name: str) -> None:
        prober = self._probers[name]
        container = self.containers[name]
        if container.stopping and not container.stopping.done():
            return
        probe = prober.verdicts.failed_probe
        self._event(
            "Normal", "Killing", f"Container {name} failed {probe} probe, will be restarted", self._path(name)
        )
        field_name = f"{probe}Probe"
        grace = self._specs[name].get(field_name, {}).get("terminationGracePeriodSeconds", self._grace(name))
        self._stop(name, grace)

    def _stop(self, name: str, grace: float) -> None:
        container = self.containers[name]
        if not container.running or (container.stopping and not container.stopping.done()):
            return
        container.stopping = asyncio.get_running_loop().create_task(self._stop_container(name, grace))

    async def _stop_container(self, name: str, grace: float) -> None:
        container, spec = self.containers[name], self._specs[name]
        hook = (spec.get("lifecycle") or {}).get("preStop")
        actions = Actions(self._node.session, self.pod_ip)

        async def before() -> None:
            assert container.current is not None
            outcome = await actions.run(hook, spec, container.current, grace)
            if not outcome.success:
                self._event(
                    ABNORMAL, "FailedPreStopHook", f"PreStopHook failed: {outcome.message}", self._path(name)
                )

        await container.stop(grace, before if hook else None, number=self._launcher.stop_signal(container))
        self.wake()

    def _grace(self, name: str) -> float:
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        if metadata.get("deletionTimestamp"):
            return float(metadata.get("deletionGracePeriodSeconds") or 0)
        return float(spec.get("terminationGracePeriodSeconds", 30))

    def _past_deadline(self) -> int:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            return 0
        began = datetime.fromisoformat(self._start_time.replace("Z", "+00:00")).timestamp()
        return int(seconds) if time.time() - began >= seconds else 0

    async def _end_for_deadline(self, seconds: int) -> None:
        self._event(
            "Normal", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
        )
        self._failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        await self._stop_all(float(self.pod["spec"].get("terminationGracePeriodSeconds", 30)))
        self._over = True
        await self._publish()

    async def _stop_all(self, grace: float) -> None:
        """Main containers first and together, then the side-cars in reverse order."""
        self._stop_probing(readiness_too=True)
        mains = [name for name, spec in self._specs.items() if not is_sidecar(spec)]
        sidecars = [name for name, spec in self._specs.items() if is_sidecar(spec)]
        began = time.monotonic()
        for group in [mains, *([name] for name in reversed(sidecars))]:
            left = max(0.0, grace - (time.monotonic() - began))
            running = [name for name in group if name in self.containers and self.containers[name].running]
            for name in running:
                self._event("Normal", "Killing", f"Stopping container {name}", self._path(name))
            await asyncio.gather(*(self._stop_container(name, left) for name in running))

    async def _terminate(self) -> None:
        if not self.pod_ip:
            self.pod_ip = self._node.addresses.give(self.uid)
        for container in self.containers.values():
            if container.stopping:
                container.stopping.cancel()
        grace = 0.0 if self.deleted_from_api else self._grace("")
        await self._stop_all(grace)
        self._over = True
        metadata = self.pod["metadata"]
        while not self.deleted_from_api:
            try:
                await self._publish()
                await self._node.client.delete(
                    PODS, metadata["namespace"], metadata["name"], uid=self.uid, grace=0
                )
                break
            except (ApiError, ApiUnavailableError) as error:
                log.info("pod %s has ended but could not be removed: %s", self._label, error)
                await asyncio.sleep(RETRY)
        self.clean()

    def clean(self) -> None:
        self._node.addresses.free(self.uid)
        remove_tree(self.folder)

    def release(self) -> None:
        """Let go of the pod without ending it: the node stops, its pods go on."""
        self._stop_probing()
        for container in self.containers.values():
            container.forget()

    # Probes.

    def _keep_probing(self) -> None:
        """Probers for exactly the attempts that run."""
        for name, container in self.containers.items():
            prober = self._probers.get(name)
            if prober and (not container.running or prober.attempt.number != container.restarts):
                prober.stop()
                del self._probers[name]
            if container.running and name not in self._probers and container.current:
                self._probers[name] = Prober(
                    self._specs[name],
                    container.current,
                    Actions(self._node.session, self.pod_ip),
                    self.wake,
                    lambda kind, message, name=name: self._unhealthy(name, kind, message),  # type: ignore[misc]
                )

    def _stop_probing(self, *, readiness_too: bool = False) -> None:
        for prober in self._probers.values():
            prober.stop()
            if readiness_too:
                prober.verdicts.ready = False
        if not readiness_too:
            self._probers.clear()

    def _unhealthy(self, name: str, kind: str, message: str) -> None:
        self._event(ABNORMAL, "Unhealthy", f"{kind.capitalize()} probe failed: {message}", self._path(name))

    # Small things.

    def _next_look(self) -> float | None:
        now = time.time()
        moments = [
            at - now for name, at in self._retry_at.items() if at > now and not self.containers[name].running
        ]
        if self.pod["spec"].get("activeDeadlineSeconds") is not None:
            moments.append(1.0)
        if self.pod["spec"].get("volumes"):
            moments.append(max(1.0, self._volumes_fresh_until - time.monotonic()))
        return max(0.05, min(moments)) if moments else None

    def _event(self, kind: str, reason: str, message: str, path: str = "") -> None:
        self._node.recorder.record(self.pod, kind, reason, message, path)

    def _path(self, name: str) -> str:
        inits = {one["name"] for one in self.pod["spec"].get("initContainers") or []}
        return f"spec.{'initContainers' if name in inits else 'containers'}{{{name}}}"

    @property
    def _label(self) -> str:
        return f"{self.pod['metadata']['name']}_{self.pod['metadata']['namespace']}"


def _duration(seconds: float) -> str:
    """Go's notation for durations."""
    minutes, rest = divmod(int(seconds), 60)
    return (f"{minutes}m" if minutes else "") + f"{rest}s"
