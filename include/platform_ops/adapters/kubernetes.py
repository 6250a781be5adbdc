"""The colours of a service as Deployments: apply, look, scale, remove, and the Service that people patch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any

from platform_ops.core.errors import NotFound, Refused, Unavailable
from platform_ops.core.ports import ColourStatus, Manifest
from platform_ops.core.release import Colour, Target

from .cluster_view import DirectReader, Reader
from .kube_api import APPLY, KubeApi, object_path
from .pods import containers, pod_failures, require_digests

Object = Mapping[str, Any]
RenderService = Callable[[Target, Colour], Manifest]
REVISION = "deployment.kubernetes.io/revision"
TEMPLATE_HASH = "pod-template-hash"
OWN_WRITES_SHOWN = 20.0
"""Seconds after a write within which a view of the cluster is not asked: longer than it can be behind."""
SELECTED = "platform-ops.io/selected"
"""Annotation of the Service: the colour that we gave it. A selector of another one is somebody's hand."""


class KubernetesWorkloads:
    """Workloads on the clusters of a kubeconfig (the `Workloads` port)."""

    def __init__(
        self,
        api: KubeApi,
        render_service: RenderService,
        *,
        reader: Reader | None = None,
        poll: timedelta = timedelta(milliseconds=500),
        removal_limit: timedelta = timedelta(minutes=2),
    ) -> None:
        self._api = api
        self._direct = DirectReader(api)
        self._reader = reader or self._direct
        self._written: dict[Target, float] = {}
        self._render_service = render_service
        self._poll = poll
        self._removal_limit = removal_limit

    async def apply(self, target: Target, manifests: Sequence[Manifest]) -> None:
        self._writes(target)
        for manifest in manifests:
            require_digests(manifest)
        for manifest in manifests:
            await apply_one(self._api, target, manifest)

    async def status(self, target: Target, colour: Colour) -> ColourStatus:
        """By the reader; directly for as long as it may not show yet what was written here."""
        reader = self._direct if self._wrote_just_now(target) else self._reader
        place = (target.context, "apps/v1", "Deployment", target.namespace, target.deployment(colour))
        deployment = await reader.find(*place)
        if deployment is None:
            return ColourStatus(exists=False)
        labels = {"app": target.service, "version": colour.value}
        service = {"kubernetes.io/service-name": target.deployment(colour)}
        pods, replica_sets, slices = await asyncio.gather(
            reader.list(target.context, "v1", "Pod", target.namespace, labels),
            reader.list(target.context, "apps/v1", "ReplicaSet", target.namespace, labels),
            reader.list(target.context, "discovery.k8s.io/v1", "EndpointSlice", target.namespace, service),
        )
        current = list(_current_pods(deployment, replica_sets, pods))
        routed = _routed(slices)
        return ColourStatus(
            exists=True,
            digest=_digest(deployment),
            desired=deployment["spec"].get("replicas", 1),
            ready=sum(_is_ready(pod) and pod["metadata"]["name"] in routed for pod in current),
            failing=tuple(dict.fromkeys([*_deployment_failures(deployment), *pod_failures(current)])),
            restarts=sum(status.get("restartCount", 0) for pod in current for status in containers(pod)),
        )

    async def scale(self, target: Target, colour: Colour, replicas: int) -> None:
        self._writes(target)
        path = self._deployment(target, colour) + "/scale"
        await self._api.patch(target.context, path, {"spec": {"replicas": replicas}})

    async def remove(self, target: Target, colour: Colour) -> None:
        self._writes(target)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
        path = self._deployment(target, colour)
        if await self._api.find(target.context, path) is not None:
            with contextlib.suppress(NotFound):  # somebody else was faster
                await self._api.request(target.context, "DELETE", path, body=options)
        autoscaler = object_path(
            "autoscaling/v2", "HorizontalPodAutoscaler", target.namespace, target.deployment(colour)
        )
        with contextlib.suppress(NotFound):  # not every service has one
            await self._api.request(target.context, "DELETE", autoscaler)
        try:
            async with asyncio.timeout(self._removal_limit.total_seconds()):
                while left := await self._left(target, colour):
                    await asyncio.sleep(self._poll.total_seconds())
        except TimeoutError:
            raise Unavailable(
                f"{target.deployment(colour)} in {target.namespace} was deleted, but is still there after "
                f"{self._removal_limit.total_seconds():.0f} s: {', '.join(left)}"
            ) from None

    async def selected_colour(self, target: Target) -> Colour | None:
        service = await self._api.find(target.context, self._service(target))
        return selected_by(service) if service else None

    async def select_colour(self, target: Target, colour: Colour) -> None:
        """Point the Service at the colour; it is created when it is missing."""
        manifest = dict(self._render_service(target, colour))
        metadata = dict(manifest["metadata"])
        metadata["annotations"] = {**metadata.get("annotations", {}), SELECTED: colour.value}
        path = self._service(target)
        await self._api.patch(target.context, path, {**manifest, "metadata": metadata}, APPLY)

    async def served_colour(self, target: Target) -> Colour | None:
        """The colour of every ready endpoint of the Service `<service>`; None: of several, or of none."""
        slices, pods = await asyncio.gather(
            self._list(
                target,
                "discovery.k8s.io/v1",
                "EndpointSlice",
                f"kubernetes.io/service-name={target.service}",
            ),
            self._list(target, "v1", "Pod", f"app={target.service}"),
        )
        colours = {pod["metadata"]["name"]: pod["metadata"].get("labels", {}).get("version") for pod in pods}
        served = {colours.get(name) for name in _routed(slices)}
        only = served.pop() if len(served) == 1 else None
        return Colour(only) if only in tuple(Colour) else None

    async def pods(self, target: Target, colour: Colour) -> list[str]:
        """Names of the colour's pods, those of an older template too."""
        found = await self._list(target, "v1", "Pod", _selector(target, colour))
        return sorted(pod["metadata"]["name"] for pod in found)

    def log_lines(self, target: Target, pod: str, *, tail: int, follow: bool = False) -> AsyncIterator[str]:
        """The last lines of a pod's log; with `follow` also what it writes from now on."""
        path = object_path("v1", "Pod", target.namespace, pod) + "/log"
        query = {"tailLines": str(tail)} | ({"follow": "true"} if follow else {})
        return self._api.lines(target.context, path, query)

    def _writes(self, target: Target) -> None:
        self._written[target] = monotonic() + OWN_WRITES_SHOWN

    def _wrote_just_now(self, target: Target) -> bool:
        return monotonic() < self._written.get(target, 0.0)

    async def _left(self, target: Target, colour: Colour) -> list[str]:
        found = (
            [target.deployment(colour)]
            if await self._api.find(target.context, self._deployment(target, colour))
            else []
        )
        pods = await self._list(target, "v1", "Pod", _selector(target, colour))
        return found + [pod["metadata"]["name"] for pod in pods]

    async def _list(self, target: Target, api_version: str, kind: str, selector: str) -> list[Object]:
        path = object_path(api_version, kind, target.namespace)
        answer = await self._api.get(target.context, path, {"labelSelector": selector})
        items: list[Object] = answer.get("items") or []
        return items

    @staticmethod
    def _deployment(target: Target, colour: Colour) -> str:
        return object_path("apps/v1", "Deployment", target.namespace, target.deployment(colour))

    @staticmethod
    def _service(target: Target) -> str:
        return object_path("v1", "Service", target.namespace, target.service)


async def apply_one(api: KubeApi, target: Target, manifest: Manifest, *, dry_run: bool = False) -> Object:
    """Server-side apply of one object; returns it as it then is, or with `dry_run` as it would be."""
    name = manifest["metadata"]["name"]
    path = object_path(manifest["apiVersion"], manifest["kind"], target.namespace, name)
    try:
        return await api.patch(target.context, path, manifest, APPLY, dry_run=dry_run)
    except NotFound as missing:
        raise Refused(f"{missing}; create the namespace {target.namespace} first") from missing


def selected_by(service: Object) -> Colour | None:
    """The colour that a Service's selector names."""
    version = (service["spec"].get("selector") or {}).get("version")
    return Colour(version) if version in tuple(Colour) else None


def _selector(target: Target, colour: Colour) -> str:
    return f"app={target.service},version={colour}"


def _digest(deployment: Object) -> str | None:
    image: str = deployment["spec"]["template"]["spec"]["containers"][0].get("image", "")
    return image.partition("@")[2] or None


def _current_pods(
    deployment: Object, replica_sets: Iterable[Object], pods: Iterable[Object]
) -> Iterator[Object]:
    """Pods of the Deployment's present template; none while its controller has not seen the template yet."""
    metadata = deployment["metadata"]
    if deployment.get("status", {}).get("observedGeneration", 0) < metadata.get("generation", 0):
        return
    revision = metadata.get("annotations", {}).get(REVISION)
    hashes = {
        replica_set["metadata"].get("labels", {}).get(TEMPLATE_HASH)
        for replica_set in replica_sets
        if replica_set["metadata"].get("annotations", {}).get(REVISION) == revision
        and any(
            owner["uid"] == metadata["uid"] for owner in replica_set["metadata"].get("ownerReferences", ())
        )
    }
    for pod in pods:
        labels = pod["metadata"].get("labels", {})
        if labels.get(TEMPLATE_HASH) in hashes and not pod["metadata"].get("deletionTimestamp"):
            yield pod


def _routed(slices: Iterable[Object]) -> set[str]:
    """Names of the pods that the colour's Service sends requests to."""
    return {
        endpoint["targetRef"]["name"]
        for one in slices
        for endpoint in one.get("endpoints") or ()
        if endpoint.get("conditions", {}).get("ready") and endpoint.get("targetRef")
    }


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _deployment_failures(deployment: Object) -> Iterator[str]:
    for condition in deployment.get("status", {}).get("conditions") or ():
        deadline = condition["type"] == "Progressing" and condition["status"] == "False"
        refused = condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        if deadline or refused:
            yield f"{condition.get('reason', condition['type'])}: {condition.get('message', '')}"
