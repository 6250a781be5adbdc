"""Brings one pod from what it is to what the API says it should be, again and again until it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from local_platform.cluster.controllers.api import MERGE_PATCH, ApiError, ApiUnavailableError
from local_platform.cluster.controllers.recorder import now_text
from local_platform.cluster.controllers.resources import PODS, Object
from local_platform.node.actions import Actions
from local_platform.node.backoff import Backoff
from local_platform.node.container import Container, remove_tree
from local_platform.node.launch import Launcher, LaunchError
from local_platform.node.plan import plan
from local_platform.node.pod_containers import ABNORMAL, NodeServices, PodContainers
from local_platform.node.sources import PodSources
from local_platform.node.status import PodFacts, pod_status
from local_platform.node.volumes import VolumeError, prepare_volumes

log = logging.getLogger(__name__)

RETRY = 2.0
VOLUME_REFRESH = 30.0


class PodWorker:
    """The pod `pod` on this node. Changes come in by `update`; `run` returns when nothing of the pod is
    left.
    """

    def __init__(self, node: NodeServices, pod: Object) -> None:
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self._node = node
        self.folder = node.folder / "pods" / self.uid
        self._wakeup = asyncio.Event()
        self._terminating = asyncio.Event()
        self.parts = PodContainers(node, pod, self.folder / "containers", self.wake)
        self._backoffs: dict[str, Backoff] = {}
        self._retry_at: dict[str, float] = {}
        self._over = False
        self._settled = False
        self.deleted_from_api = False
        self._failure = ("", "")
        self._start_time: str = (pod.get("status") or {}).get("startTime") or now_text()
        self._volumes_fresh_until = 0.0
        self._published: Object | None = None
        self._sources = PodSources(node.client, pod)
        self._launcher = Launcher(node, self._sources, self.folder)

    def update(self, pod: Object) -> None:
        self.pod = pod
        self.parts.update(pod)
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
        return list(self.parts.specs.values())

    @property
    def containers(self) -> dict[str, Container]:
        return self.parts.by_name

    @property
    def pod_ip(self) -> str:
        return self.parts.pod_ip

    def wake(self) -> None:
        self._wakeup.set()

    async def run(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for container in self.parts.by_name.values():
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

    async def _until_terminating(self, work: Coroutine[Any, Any, float | None]) -> float | None:
        """Do `work`, but leave it when the pod is to go: a slow pull must not hold a deletion up."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._terminating.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
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
        """One look at the pod; returns after how many seconds to look again (None: only when something
        happens).
        """
        if self._over:
            await self._publish()
            return None
        if not self.pod_ip:
            await self._publish()
            self.parts.pod_ip = self._node.addresses.give(self.uid)
        if deadline := self._past_deadline():
            await self._end_for_deadline(deadline)
            return None
        if not await self._volumes_ready():
            await self._publish()
            return RETRY
        self.parts.keep_probing()
        steps = plan(self.pod["spec"], self.parts.views())
        for name in steps.restart:
            self.parts.restart_unhealthy(name)
        for name in steps.stop:
            self.parts.stop(name, self.parts.grace())
        if steps.finished:
            self._over = True
            self.parts.stop_probing()
            await self._publish()
            return None
        for name in steps.start:
            await self._start(name)
        self.parts.keep_probing()
        await self._publish()
        return self._next_look()

    # What is, for planning and for the status.

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
        return pod_status(self.pod, self.parts.status_views(over=self._over), facts)

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
        running = self.parts.running
        try:
            await prepare_volumes(
                self._placed_pod(),
                self.folder / "volumes",
                self._sources.lookup,
                self._sources.token,
                self._node.allocatable,
            )
        except VolumeError as error:
            self.parts.event(ABNORMAL, "FailedMount", str(error))
            return running
        except ApiUnavailableError:
            if not running:
                raise
            return True
        self._volumes_fresh_until = time.monotonic() + VOLUME_REFRESH
        return True

    async def _start(self, name: str) -> None:
        container, spec = self.parts.by_name[name], self.parts.specs[name]
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
        container = self.parts.by_name[name]
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
                self.parts.event(
                    ABNORMAL,
                    "BackOff",
                    f"Back-off restarting failed container {name} in pod {where}",
                    self.parts.path(name),
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
            self.parts.event(
                ABNORMAL,
                "FailedPostStartHook",
                f"PostStartHook failed: {outcome.message}",
                self.parts.path(spec["name"]),
            )
            self.parts.stop(spec["name"], self.parts.grace())

    def _past_deadline(self) -> int:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            return 0
        began = datetime.fromisoformat(self._start_time.replace("Z", "+00:00")).timestamp()
        return int(seconds) if time.time() - began >= seconds else 0

    async def _end_for_deadline(self, seconds: int) -> None:
        self.parts.event(
            "Normal", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
        )
        self._failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        await self.parts.stop_all(float(self.pod["spec"].get("terminationGracePeriodSeconds", 30)))
        self._over = True
        await self._publish()

    async def _terminate(self) -> None:
        if not self.pod_ip:
            self.parts.pod_ip = self._node.addresses.give(self.uid)
        for container in self.parts.by_name.values():
            await container.start_settled()
            if container.stopping:
                container.stopping.cancel()
        grace = 0.0 if self.deleted_from_api else self.parts.grace()
        await self.parts.stop_all(grace)
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
        self.parts.stop_probing()
        for container in self.parts.by_name.values():
            container.forget()

    # Small things.

    def _next_look(self) -> float | None:
        now = time.time()
        moments = [
            at - now
            for name, at in self._retry_at.items()
            if at > now and not self.parts.by_name[name].running
        ]
        if self.pod["spec"].get("activeDeadlineSeconds") is not None:
            moments.append(1.0)
        if self.pod["spec"].get("volumes"):
            moments.append(max(1.0, self._volumes_fresh_until - time.monotonic()))
        return max(0.05, min(moments)) if moments else None

    @property
    def _label(self) -> str:
        return f"{self.pod['metadata']['name']}_{self.pod['metadata']['namespace']}"


def _duration(seconds: float) -> str:
    """Go's notation for durations."""
    minutes, rest = divmod(int(seconds), 60)
    return (f"{minutes}m" if minutes else "") + f"{rest}s"
