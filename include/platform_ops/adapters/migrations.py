"""Schema migrations as Jobs of Kubernetes: found again by name, started once, their last words read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from platform_ops.core.errors import Conflict, NotFound, OpsError, Refused
from platform_ops.core.migration import JobState, Migration, MigrationStatus
from platform_ops.core.release import Target

from .kube_api import APPLY, KubeApi, object_path
from .pods import pod_failures, require_digests

Object = Mapping[str, Any]

ROLLOUT = "platform-ops.io/rollout"
"""Annotation of a Job: the rollout that started it."""

_TAIL = 10
_LONGEST = 800
_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@]*@")


class KubernetesMigrations:
    """The `Migrations` port."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def status(self, target: Target, job: str) -> MigrationStatus:
        found = await self._api.find(target.context, _path(target, job))
        if found is None or found["metadata"].get("deletionTimestamp"):
            return MigrationStatus(JobState.ABSENT)
        rollout_id = (found["metadata"].get("annotations") or {}).get(ROLLOUT, "")
        ended = {
            c["type"]: c for c in found.get("status", {}).get("conditions") or () if c["status"] == "True"
        }
        if "Complete" in ended:
            return MigrationStatus(JobState.SUCCEEDED, rollout_id)
        pods = await self._pods(target, job)
        if "Failed" in ended:
            words = await self._last_words(target, pods, ended["Failed"])
            return MigrationStatus(JobState.FAILED, rollout_id, words)
        return MigrationStatus(JobState.RUNNING, rollout_id, "; ".join(dict.fromkeys(pod_failures(pods))))

    async def start(self, target: Target, migration: Migration, rollout_id: str) -> None:
        for manifest in migration.manifests:
            require_digests(manifest)
        seen = await self.status(target, migration.job)
        if seen.state is JobState.FAILED and seen.rollout_id != rollout_id:
            await self._remove(target, migration.job)
        for manifest in migration.manifests:
            if manifest["kind"] == "Job":
                await self._create(target, _marked(manifest, rollout_id))
            else:
                await self._apply(target, manifest)

    async def _apply(self, target: Target, manifest: Object) -> None:
        name = manifest["metadata"]["name"]
        path = object_path(manifest["apiVersion"], manifest["kind"], target.namespace, name)
        try:
            await self._api.patch(target.context, path, manifest, APPLY)
        except NotFound as missing:
            raise Refused(f"{missing}; create the namespace {target.namespace} first") from missing

    async def _create(self, target: Target, job: Object) -> None:
        """A Job cannot be changed once it is there, and the one that is there is ours."""
        try:
            await self._api.request(target.context, "POST", _path(target), body=job)
        except Conflict:
            name = job["metadata"]["name"]
            if (await self.status(target, name)).state is JobState.ABSENT:
                raise  # the one before is still being deleted

    async def _remove(self, target: Target, job: str) -> None:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        with contextlib.suppress(NotFound):
            await self._api.request(target.context, "DELETE", _path(target, job), body=options)

    async def _pods(self, target: Target, job: str) -> list[Object]:
        query = {"labelSelector": f"batch.kubernetes.io/job-name={job}"}
        answer = await self._api.get(target.context, object_path("v1", "Pod", target.namespace), query)
        items: list[Object] = answer.get("items") or []
        return sorted(items, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))

    async def _last_words(self, target: Target, pods: list[Object], condition: Object) -> str:
        """Why the Job failed and how its last pod's log ended. A log that cannot be read changes nothing."""
        parts = [f"{condition.get('reason', 'Failed')}: {condition.get('message', 'no message')}"]
        parts += list(dict.fromkeys(pod_failures(pods[-1:])))
        if pods and (log := await self._log(target, pods[-1]["metadata"]["name"])):
            parts.append(f"its log ends: {log}")
        return "; ".join(parts)

    async def _log(self, target: Target, pod: str) -> str:
        path = object_path("v1", "Pod", target.namespace, pod) + "/log"
        try:
            lines = [line async for line in self._api.lines(target.context, path, {"tailLines": str(_TAIL)})]
        except OpsError as unread:
            return f"(cannot be read: {unread})"
        return tail_of(lines)


def tail_of(lines: list[str]) -> str:
    """The last words of a log, short enough for a page, without the passwords of the addresses in it."""
    text = " | ".join(line.strip() for line in lines if line.strip())
    return _PASSWORD.sub(r"\1:…@", text)[-_LONGEST:]


def _path(target: Target, job: str = "") -> str:
    return object_path("batch/v1", "Job", target.namespace, job)


def _marked(job: Object, rollout_id: str) -> dict[str, Any]:
    annotations = {**(job["metadata"].get("annotations") or {}), ROLLOUT: rollout_id}
    return {**job, "metadata": {**job["metadata"], "annotations": annotations}}
