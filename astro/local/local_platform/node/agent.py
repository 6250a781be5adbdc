"""The node agent: follows the pods that were given to this node and keeps a worker for each."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

from local_platform.cluster.controllers.informer import Informer
from local_platform.cluster.controllers.resources import PODS, SERVICES, Object
from local_platform.node.container import Container, remove_tree
from local_platform.node.memory import MemoryWatch
from local_platform.node.pod_containers import NodeServices
from local_platform.node.pod_worker import PodWorker

log = logging.getLogger(__name__)


class NodeAgent:
    """All pods of one node. Cancelling `run` leaves the pods running; the next agent adopts them."""

    def __init__(self, node: NodeServices) -> None:
        self.node = node
        self.workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: set[str] = set()
        self._pods = Informer(node.client, PODS, fieldSelector=f"spec.nodeName={node.name}")
        self._services = Informer(node.client, SERVICES)
        self._memory = MemoryWatch(self._containers)

    async def run(self) -> None:
        self._pods.listen(self._pod_changed)
        self._services.listen(lambda _kind, _item: self._remember_services())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._services.run())
            group.create_task(self._pods.run())
            group.create_task(self._memory.run())
            group.create_task(self._remove_orphans())
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                for worker in self.workers.values():
                    worker.release()
                for task in self._tasks.values():
                    task.cancel()

    @property
    def pods(self) -> list[PodWorker]:
        return list(self.workers.values())

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        for worker in self.workers.values():
            metadata = worker.pod["metadata"]
            if metadata["name"] == name and metadata["namespace"] == namespace:
                return worker
        return None

    def _remember_services(self) -> None:
        self.node.services = list(self._services.all())

    def _containers(self) -> list[tuple[Object, Container]]:
        return [
            (spec, worker.containers[spec["name"]])
            for worker in self.workers.values()
            for spec in worker.every_spec()
        ]

    def _pod_changed(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        worker = self.workers.get(uid)
        if kind == "DELETED":
            self._ended.discard(uid)
            if worker:
                worker.gone()
            return
        if uid in self._ended:
            return  # only somebody's finalizer keeps it in the API
        if worker:
            worker.update(pod)
            return
        worker = PodWorker(self.node, pod)
        self.workers[uid] = worker
        task = asyncio.get_running_loop().create_task(worker.run())
        self._tasks[uid] = task
        task.add_done_callback(lambda done: self._worker_done(uid, done))

    def _worker_done(self, uid: str, task: asyncio.Task[None]) -> None:
        worker = self.workers.pop(uid)
        self._tasks.pop(uid)
        if task.cancelled():
            return
        if error := task.exception():
            log.error("the worker of pod %s failed and starts again", uid, exc_info=error)
            worker.release()
            asyncio.get_running_loop().call_later(1.0, self._start_again, worker.pod)
        elif not worker.deleted_from_api:
            self._ended.add(uid)

    def _start_again(self, pod: Object) -> None:
        metadata = pod["metadata"]
        known = self._pods.get(metadata["namespace"], metadata["name"])
        if known and known["metadata"]["uid"] == metadata["uid"]:
            self._pod_changed("ADDED", known)

    async def _remove_orphans(self) -> None:
        """End pods that the API no longer knows: they were deleted while no agent ran."""
        await self._pods.synced.wait()
        folder = self.node.folder / "pods"
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            if path.name not in self.workers:
                log.info("pod %s was deleted while the node was away", path.name)
                await end_pod_folder(path)
                self.node.addresses.free(path.name)


async def end_pod_folder(folder: Path) -> int:
    """Kill every container recorded in a pod's folder and remove it; returns how many were running."""
    ended = 0
    for path in sorted((folder / "containers").glob("*")):
        container = Container(path, path.name, lambda: None)
        container.adopt()
        attempt = container.current
        container.forget()
        if attempt and attempt.running and attempt.first and attempt.shim:
            attempt.first.signal(signal.SIGKILL)
            await attempt.shim.ended()
            ended += 1
    remove_tree(folder)
    return ended
