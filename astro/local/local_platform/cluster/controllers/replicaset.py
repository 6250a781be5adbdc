"""ReplicaSets: as many pods of a template as wanted."""

from __future__ import annotations

import time

from local_platform.cluster.controllers.api import STRATEGIC_PATCH, ApiError
from local_platform.cluster.controllers.controller import Context, Controller, Key, owner_keys
from local_platform.cluster.controllers.pods import (
    deletion_rank,
    is_active,
    is_available,
    is_deleting,
    is_ready,
    pod_from_template,
)
from local_platform.cluster.controllers.recorder import now_text
from local_platform.cluster.controllers.resources import (
    PODS,
    REPLICA_SETS,
    Object,
    controller_of,
    matches_labels,
    matches_selector,
    name_of,
    owner_reference,
)


class ReplicaSetController(Controller):
    component = "replicaset-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._sets = self.watch(REPLICA_SETS)
        self._pods = self.watch(PODS, self._keys_of_pod)

    def _keys_of_pod(self, pod: Object) -> list[Key]:
        if controller_of(pod):
            return owner_keys("ReplicaSet")(pod)
        return [
            (one["metadata"]["namespace"], name_of(one))
            for one in self._sets.all(pod["metadata"]["namespace"])
            if matches_selector(one["spec"]["selector"], pod["metadata"].get("labels"))
        ]

    async def reconcile(self, namespace: str, name: str) -> None:
        replica_set = self._sets.get(namespace, name)
        if replica_set is None:
            return
        pods = await self._owned_pods(replica_set)
        active = [pod for pod in pods if is_active(pod)]
        trouble = ""
        if not is_deleting(replica_set):
            try:
                active = await self._scale(replica_set, active)
            except ApiError as error:
                if error.namespace_ends:
                    raise
                trouble = error.message
                kind = "FailedCreate"
                self.recorder.record(replica_set, "Warning", kind, f"Error creating: {error.message}")
        terminating = [pod for pod in pods if is_deleting(pod) and pod not in active]
        await self._write_status(replica_set, active, terminating, trouble)
        if trouble:
            self.queue.failed((namespace, name))

    async def _owned_pods(self, replica_set: Object) -> list[Object]:
        """The set's pods; pods that match and belong to nobody are adopted."""
        namespace, uid = replica_set["metadata"]["namespace"], replica_set["metadata"]["uid"]
        result = []
        for pod in self._pods.all(namespace):
            owner = controller_of(pod)
            if owner and owner["uid"] == uid:
                result.append(pod)
            elif (
                owner is None
                and is_active(pod)
                and not is_deleting(replica_set)
                and matches_selector(replica_set["spec"]["selector"], pod["metadata"].get("labels"))
            ):
                result.append(await self._adopt(replica_set, pod))
        return result

    async def _adopt(self, replica_set: Object, pod: Object) -> Object:
        references = [owner_reference(replica_set, REPLICA_SETS)]
        patch = {"metadata": {"uid": pod["metadata"]["uid"], "ownerReferences": references}}
        adopted = await self.client.patch(
            PODS, pod["metadata"]["namespace"], name_of(pod), patch, kind=STRATEGIC_PATCH
        )
        self._pods.remember(adopted)
        return adopted

    async def _scale(self, replica_set: Object, active: list[Object]) -> list[Object]:
        namespace = replica_set["metadata"]["namespace"]
        difference = replica_set["spec"].get("replicas", 1) - len(active)
        reference = owner_reference(replica_set, REPLICA_SETS)
        for _ in range(difference):
            body = pod_from_template(replica_set["spec"]["template"], replica_set, reference)
            pod = await self.client.create(PODS, namespace, body)
            self._pods.remember(pod)
            active = [*active, pod]
            self.recorder.record(replica_set, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        if difference < 0:
            now = time.time()
            ranked = sorted(active, key=lambda pod: deletion_rank(pod, now))
            for pod in ranked[:-difference]:
                await self.client.delete(PODS, namespace, name_of(pod), uid=pod["metadata"]["uid"])
                # The watch tells a moment later; until then nobody may count this pod as running.
                pod["metadata"]["deletionTimestamp"] = pod["metadata"]["creationTimestamp"]
                self.recorder.record(
                    replica_set, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}"
                )
            active = ranked[-difference:]
        return active

    async def _write_status(
        self, replica_set: Object, active: list[Object], terminating: list[Object], trouble: str
    ) -> None:
        spec = replica_set["spec"]
        now = time.time()
        wait = spec.get("minReadySeconds", 0)
        labels = spec["template"]["metadata"].get("labels") or {}
        ready = [pod for pod in active if is_ready(pod)]
        available = [pod for pod in ready if is_available(pod, wait, now)]
        counts = {
            "replicas": len(active),
            "fullyLabeledReplicas": sum(
                matches_labels(labels, pod["metadata"].get("labels")) for pod in active
            ),
            "readyReplicas": len(ready),
            "availableReplicas": len(available),
        }
        status: Object = {
            "replicas": counts["replicas"],
            **{key: value for key, value in counts.items() if value},
            "terminatingReplicas": len(terminating),
            "observedGeneration": replica_set["metadata"]["generation"],
        }
        if trouble:
            status["conditions"] = [_failure(replica_set, trouble)]
        before = replica_set.get("status") or {}
        if {**status, "conditions": None} != {**before, "conditions": None} or bool(trouble) != bool(
            before.get("conditions")
        ):
            namespace, name = replica_set["metadata"]["namespace"], name_of(replica_set)
            body = {**replica_set, "status": status}
            self._sets.remember(await self.client.replace(REPLICA_SETS, namespace, name, body, "status"))
        if wait and len(available) < len(ready):
            self.queue.add_after((replica_set["metadata"]["namespace"], name_of(replica_set)), 1.0)


def _failure(replica_set: Object, message: str) -> Object:
    for entry in (replica_set.get("status") or {}).get("conditions") or []:
        if entry["type"] == "ReplicaFailure":
            return {**entry, "message": message}
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": now_text(),
        "reason": "FailedCreate",
        "message": message,
    }
