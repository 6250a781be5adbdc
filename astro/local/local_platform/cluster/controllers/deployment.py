"""Deployments: rolling updates and recreation over ReplicaSets, with revisions, pause and a progress
deadline.
"""

from __future__ import annotations

import time

from local_platform.cluster.controllers import deployment_status as report
from local_platform.cluster.controllers.controller import Context, Controller, owner_keys
from local_platform.cluster.controllers.pods import is_active, is_deleting
from local_platform.cluster.controllers.replica_sets import (
    DESIRED,
    MAXIMUM,
    REVISION,
    copied_annotations,
    counts_of,
    find_new_set,
    new_replica_set,
    revision_of,
)
from local_platform.cluster.controllers.resources import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    Object,
    controller_of,
    name_of,
    namespace_of,
)
from local_platform.cluster.controllers.rolling import (
    Bounds,
    bounds,
    new_set_size,
    share_scaling,
    shrink_old_sets,
)


class DeploymentController(Controller):
    component = "deployment-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._deployments = self.watch(DEPLOYMENTS)
        self._sets = self.watch(REPLICA_SETS, owner_keys("Deployment"))
        self._pods = self.watch(PODS, self._recreating)

    def _recreating(self, pod: Object) -> list[tuple[str, str]]:
        """A Recreate deployment waits for the last old pod to be gone, so pods wake it."""
        owner = controller_of(pod)
        found = (
            self._sets.get(namespace_of(pod), owner["name"])
            if owner and owner["kind"] == "ReplicaSet"
            else None
        )
        parent = controller_of(found) if found else None
        return [(namespace_of(pod), parent["name"])] if parent else []

    async def reconcile(self, namespace: str, name: str) -> None:
        deployment = self._deployments.get(namespace, name)
        if deployment is None:
            return
        sets = self._owned_sets(deployment)
        if is_deleting(deployment):
            await self._write_status(deployment, self._find_new(deployment, sets), sets)
            return
        new = self._find_new(deployment, sets)
        paused = bool(deployment["spec"].get("paused"))
        if paused or self._scaled(deployment, sets):
            deployment = await self._note_pause(deployment)
            await self._scale_all(deployment, new, sets)
            await self._write_status(deployment, new, self._owned_sets(deployment))
            return
        deployment = await self._note_pause(deployment)
        await self._roll(deployment, new, sets)

    def _owned_sets(self, deployment: Object) -> list[Object]:
        uid = deployment["metadata"]["uid"]
        return [
            one
            for one in self._sets.all(namespace_of(deployment))
            if (owner := controller_of(one)) and owner["uid"] == uid
        ]

    @staticmethod
    def _find_new(deployment: Object, sets: list[Object]) -> Object | None:
        return find_new_set(deployment, sets)

    @staticmethod
    def _scaled(deployment: Object, sets: list[Object]) -> bool:
        """Whether `replicas` changed since the sets were last sized."""
        wanted = str(deployment["spec"].get("replicas", 1))
        return any(
            one["spec"].get("replicas", 0) > 0
            and (one["metadata"].get("annotations") or {}).get(DESIRED) not in (None, wanted)
            for one in sets
        )

    async def _roll(self, deployment: Object, new: Object | None, sets: list[Object]) -> None:
        recreate = deployment["spec"]["strategy"]["type"] == "Recreate"
        old = [one for one in sets if new is None or name_of(one) != name_of(new)]
        if recreate:
            stopped = [
                await self._resize(deployment, one, 0) for one in old if one["spec"].get("replicas", 0)
            ]
            if stopped or self._old_pods_left(old):
                await self._write_status(deployment, new, self._owned_sets(deployment))
                return
        deployment, new = await self._ensure_new(deployment, new, sets)
        old = [one for one in self._owned_sets(deployment) if name_of(one) != name_of(new)]
        replicas, limits = self._limits(deployment)
        others = [counts_of(one) for one in old]
        size = replicas if recreate else new_set_size(replicas, counts_of(new), others, limits)
        if size != new["spec"].get("replicas", 0):
            new = await self._resize(deployment, new, size)
        elif not recreate:
            shrunk = shrink_old_sets(replicas, counts_of(new), others, limits)
            for one in old:
                if name_of(one) in shrunk:
                    await self._resize(deployment, one, shrunk[name_of(one)])
        every = self._owned_sets(deployment)
        await self._write_status(deployment, new, every)
        if report.is_complete(deployment, report.counts(deployment, new, every)):
            await self._forget_history(deployment, old)

    def _old_pods_left(self, old: list[Object]) -> bool:
        uids = {one["metadata"]["uid"] for one in old}
        namespace = namespace_of(old[0]) if old else ""
        return any(
            (owner := controller_of(pod)) and owner["uid"] in uids and (is_active(pod) or is_deleting(pod))
            for pod in (self._pods.all(namespace) if old else ())
        )

    async def _ensure_new(
        self, deployment: Object, new: Object | None, sets: list[Object]
    ) -> tuple[Object, Object]:
        """The set of the current template with the right revision; it is created when there is none."""
        old = [one for one in sets if new is None or name_of(one) != name_of(new)]
        revision = str(max((revision_of(one) for one in old), default=0) + 1)
        namespace = namespace_of(deployment)
        if new is None:
            replicas, limits = self._limits(deployment)
            recreate = deployment["spec"]["strategy"]["type"] == "Recreate"
            total = sum(one["spec"].get("replicas", 0) for one in old)
            size = replicas if recreate else min(replicas, max(0, replicas + limits.surge - total))
            body = new_replica_set(deployment, revision, size, self._maximum(replicas, limits, recreate))
            new = await self.client.create(REPLICA_SETS, namespace, body)
            self._sets.remember(new)
            if size:
                self._scaling_event(deployment, name_of(new), 0, size)
            deployment = await self._note_new_set(deployment, new)
        else:
            new = await self._renew_annotations(deployment, new, revision)
        return await self._note_revision(deployment, new), new

    async def _renew_annotations(self, deployment: Object, new: Object, revision: str) -> Object:
        """An old set that becomes the newest again gets a new revision and remembers its former ones."""
        annotations = dict(new["metadata"].get("annotations") or {})
        fresh = annotations | copied_annotations(deployment)
        if revision_of(new) < int(revision):
            history = [
                part
                for part in annotations.get("deployment.kubernetes.io/revision-history", "").split(",")
                if part
            ]
            if annotations.get(REVISION):
                fresh["deployment.kubernetes.io/revision-history"] = ",".join(
                    [*history, annotations[REVISION]]
                )
            fresh[REVISION] = revision
        wait = deployment["spec"].get("minReadySeconds", 0)
        if fresh == annotations and new["spec"].get("minReadySeconds", 0) == wait:
            return new
        spec = (
            {**new["spec"], "minReadySeconds": wait}
            if wait
            else {k: v for k, v in new["spec"].items() if k != "minReadySeconds"}
        )
        body = {**new, "metadata": {**new["metadata"], "annotations": fresh}, "spec": spec}
        new = await self.client.replace(REPLICA_SETS, namespace_of(new), name_of(new), body)
        self._sets.remember(new)
        return new

    async def _note_revision(self, deployment: Object, new: Object) -> Object:
        revision = str(revision_of(new))
        annotations = deployment["metadata"].get("annotations") or {}
        if annotations.get(REVISION) == revision:
            return deployment
        metadata = {**deployment["metadata"], "annotations": {**annotations, REVISION: revision}}
        return await self._replace(deployment, {**deployment, "metadata": metadata}, "status")

    async def _note_new_set(self, deployment: Object, new: Object) -> Object:
        deadline = deployment["spec"].get("progressDeadlineSeconds")
        if deadline in (None, 2**31 - 1):
            return deployment
        message = f'Created new replica set "{name_of(new)}"'
        before = deployment.get("status") or {}
        status = report.with_condition(
            before, "Progressing", "True", "NewReplicaSetCreated", message, time.time()
        )
        return await self._replace(deployment, {**deployment, "status": status}, "status")

    async def _note_pause(self, deployment: Object) -> Object:
        if deployment["spec"].get("progressDeadlineSeconds") in (None, 2**31 - 1):
            return deployment
        before = deployment.get("status") or {}
        known = report.find_condition(before, "Progressing")
        if known and known["reason"] == "ProgressDeadlineExceeded":
            return deployment
        paused = bool(deployment["spec"].get("paused"))
        was = known is not None and known["reason"] == "DeploymentPaused"
        if paused == was:
            return deployment
        reason = "DeploymentPaused" if paused else "DeploymentResumed"
        message = "Deployment is paused" if paused else "Deployment is resumed"
        status = report.with_condition(before, "Progressing", "Unknown", reason, message, time.time())
        return await self._replace(deployment, {**deployment, "status": status}, "status")

    async def _scale_all(self, deployment: Object, new: Object | None, sets: list[Object]) -> None:
        """Bring the sets to a new total size without rolling further."""
        replicas, limits = self._limits(deployment)
        filled = [one for one in sets if one["spec"].get("replicas", 0) > 0]
        if len(filled) <= 1:
            target = filled[0] if filled else new or max(sets, key=revision_of, default=None)
            if target is not None and (filled or new is not None):
                await self._resize(deployment, target, replicas)
            return
        before = {
            name_of(one): int((one["metadata"].get("annotations") or {}).get(MAXIMUM, 0)) for one in filled
        }
        sizes = share_scaling(replicas, limits.surge, [counts_of(one) for one in filled], before)
        for one in filled:
            await self._resize(deployment, one, sizes[name_of(one)])

    async def _resize(self, deployment: Object, replica_set: Object, size: int) -> Object:
        replicas, limits = self._limits(deployment)
        recreate = deployment["spec"]["strategy"]["type"] == "Recreate"
        annotations = dict(replica_set["metadata"].get("annotations") or {})
        annotations |= {DESIRED: str(replicas), MAXIMUM: str(self._maximum(replicas, limits, recreate))}
        before = replica_set["spec"].get("replicas", 0)
        if before == size and annotations == replica_set["metadata"].get("annotations"):
            return replica_set
        body = {
            **replica_set,
            "metadata": {**replica_set["metadata"], "annotations": annotations},
            "spec": {**replica_set["spec"], "replicas": size},
        }
        fresh = await self.client.replace(REPLICA_SETS, namespace_of(replica_set), name_of(replica_set), body)
        self._sets.remember(fresh)
        if before != size:
            self._scaling_event(deployment, name_of(replica_set), before, size)
        return fresh

    def _scaling_event(self, deployment: Object, name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {name} from {before} to {after}"
        self.recorder.record(deployment, "Normal", "ScalingReplicaSet", message)

    @staticmethod
    def _limits(deployment: Object) -> tuple[int, Bounds]:
        replicas = deployment["spec"].get("replicas", 1)
        rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            return replicas, Bounds(0, 0)
        return replicas, bounds(
            replicas, rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%")
        )

    @staticmethod
    def _maximum(replicas: int, limits: Bounds, recreate: bool) -> int:
        return replicas if recreate else replicas + limits.surge

    async def _write_status(self, deployment: Object, new: Object | None, every: list[Object]) -> None:
        now = time.time()
        replicas, limits = self._limits(deployment)
        status = report.counts(deployment, new, every)
        status = report.with_availability(status, replicas, limits, now)
        paused = bool(deployment["spec"].get("paused"))
        if not paused and not is_deleting(deployment):
            status = report.with_progress(deployment, status, new, now)
        if status != (deployment.get("status") or {}):
            await self._replace(deployment, {**deployment, "status": status}, "status")
        left = None if paused else report.deadline_left(deployment, status, now)
        condition = report.find_condition(status, "Progressing")
        if left is not None and condition and condition["status"] == "True":
            self.queue.add_after((namespace_of(deployment), name_of(deployment)), left + 1.0)

    async def _replace(self, deployment: Object, body: Object, subresource: str = "") -> Object:
        fresh = await self.client.replace(
            DEPLOYMENTS, namespace_of(deployment), name_of(deployment), body, subresource
        )
        self._deployments.remember(fresh)
        return fresh

    async def _forget_history(self, deployment: Object, old: list[Object]) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        empty = [
            one
            for one in old
            if not one["spec"].get("replicas", 0)
            and not (one.get("status") or {}).get("replicas")
            and not is_deleting(one)
        ]
        surplus = sorted(empty, key=revision_of)[: max(0, len(empty) - limit)]
        for one in surplus:
            await self.client.delete(
                REPLICA_SETS, namespace_of(one), name_of(one), uid=one["metadata"]["uid"]
            )
