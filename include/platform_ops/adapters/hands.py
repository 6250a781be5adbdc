"""The objects that people change by hand, looked at and watched: by the watches that rollouts share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from platform_ops.core.drift import Seen, Trace
from platform_ops.core.errors import OpsError, Refused
from platform_ops.core.ports import RouteState, TrafficRouter
from platform_ops.core.release import Colour, Target, Weights

from .cluster_view import ClusterView, Heard
from .kube_api import FIELD_MANAGER, KubeApi, object_path
from .kubernetes import KubernetesWorkloads, selected_by
from .traffic.routes import route_path

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
_Key = tuple[str, str, str]
"""Context, namespace and name."""

RESYNC = timedelta(minutes=5)
"""All targets are looked at again after so long, whatever the watches said."""

_WATCHED = (
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
)
_GATHER = 0.2
"""Seconds in which events gather: one command of a person is often several."""
_AGAIN = 60.0
"""Seconds until a watch that was refused is asked for again."""
_CLUSTERS_OWN = ("kube-controller-manager", "kube-scheduler", "hpa-controller")


class Hands:
    """The `Hands` port over the clusters of a kubeconfig."""

    def __init__(
        self,
        api: KubeApi,
        workloads: KubernetesWorkloads,
        router: TrafficRouter,
        view: ClusterView,
        *,
        resync: timedelta = RESYNC,
    ) -> None:
        self._api = api
        self._workloads = workloads
        self._router = router
        self._view = view
        self._resync = resync

    async def look(self, target: Target) -> Seen:
        context, place = target.context, target.namespace
        paths = [
            object_path("v1", "Service", place, target.service),
            route_path(target),
            *(object_path("apps/v1", "Deployment", place, target.deployment(c)) for c in Colour),
        ]
        found, statuses, route = await asyncio.gather(
            asyncio.gather(*(self._api.find(context, path) for path in paths)),
            asyncio.gather(*(self._workloads.status(target, colour) for colour in Colour)),
            self._route(target),
        )
        service, http_route, *deployments = found
        nothing = not any(found)
        return Seen(
            route=route,
            selected=selected_by(service) if service else None,
            colours=dict(zip(Colour, statuses, strict=True)),
            namespace=not nothing or await self._namespace_exists(target),
            service=_trace(service, "resourceVersion"),
            http_route=_trace(http_route, "generation"),
            deployments={
                colour: _trace(one, "generation") for colour, one in zip(Colour, deployments, strict=True)
            },
        )

    async def changes(self, targets: Sequence[Target]) -> AsyncGenerator[frozenset[Target]]:
        """First all targets, then those of which something was changed, and all again from time to time."""
        changed = _Changed(targets)
        listeners = {
            (context, *what): partial(changed.heard, context, what[1])
            for context in sorted({target.context for target in targets})
            for what in _WATCHED
        }
        keeping = asyncio.create_task(self._keep_listening(listeners), name="hands")
        try:
            while True:
                yield frozenset(targets)
                async for some in changed.until(self._resync.total_seconds()):
                    yield some
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            for listener in listeners.values():
                self._view.mute(listener)

    async def _keep_listening(self, listeners: Mapping[tuple[str, str, str], Heard]) -> None:
        """A watch that the server refuses is asked for again: the right to it may come."""
        told: set[str] = set()
        while True:
            for what, heard in listeners.items():
                try:
                    await self._view.listen(*what, heard)
                except OpsError as error:
                    if str(error) not in told:
                        log.warning("%s: changes by hand there are not seen until that is over", error)
                    told.add(str(error))
            await asyncio.sleep(_AGAIN)

    async def _route(self, target: Target) -> RouteState:
        try:
            return await self._router.observe(target)
        except Refused as refused:
            return RouteState(Weights(), 0, str(refused))

    async def _namespace_exists(self, target: Target) -> bool:
        path = f"/api/v1/namespaces/{target.namespace}"
        return await self._api.find(target.context, path) is not None


class _Changed:
    """Which targets have something new. Changes of a status are not: pods come and go all the time."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._targets: dict[_Key, Target] = {
            (target.context, target.namespace, name): target
            for target in targets
            for name in (target.service, *(target.deployment(colour) for colour in Colour))
        }
        self._known: dict[tuple[str, str], dict[_Key, str]] = {}
        """By context and kind: the mark of each object of a target."""
        self._dirty: set[Target] = set()
        self._woken = asyncio.Event()

    def heard(self, context: str, kind: str, objects: Mapping[str, Mapping[str, Object]]) -> None:
        now = {
            key: _mark(found)
            for key in self._targets
            if key[0] == context and (found := objects.get(key[1], {}).get(key[2])) is not None
        }
        before = self._known.get((context, kind), {})
        for key in now.keys() | before.keys():
            if now.get(key) != before.get(key):
                self._touch(self._targets[key])
        self._known[context, kind] = now

    def _touch(self, target: Target) -> None:
        self._dirty.add(target)
        self._woken.set()

    async def until(self, seconds: float) -> AsyncIterator[frozenset[Target]]:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            try:
                async with asyncio.timeout_at(end):
                    await self._woken.wait()
            except TimeoutError:
                return
            await asyncio.sleep(_GATHER)
            self._woken.clear()
            some, self._dirty = frozenset(self._dirty), set()
            yield some


def _mark(item: Object) -> str:
    """Changes with what is wanted, not with a status. A Service counts no generations."""
    metadata = item["metadata"]
    return f"{metadata['uid']}:{metadata.get('generation') or metadata['resourceVersion']}"


def _trace(item: Object | None, counts: str) -> Trace:
    if item is None:
        return Trace()
    return Trace(f"{item['metadata']['uid']}:{item['metadata'].get(counts, '')}", _hand(item))


def _hand(item: Object) -> str:
    """Who changed the spec last, if it was neither we nor the cluster itself."""
    entries = [
        entry
        for entry in item["metadata"].get("managedFields") or ()
        if "f:spec" in (entry.get("fieldsV1") or {}) and entry.get("manager") not in _CLUSTERS_OWN
    ]
    last: Object = max(entries, key=_when, default={})
    manager = str(last.get("manager", ""))
    return "" if manager == FIELD_MANAGER else manager


def _when(entry: Object) -> tuple[bool, str, bool]:
    """Times are whole seconds: within one of them a hand is told before us. A change of the scale has no
    time; it is one of the number of pods, which we take from its owner when we write it, so its entry is
    newer."""
    ours = entry.get("manager") == FIELD_MANAGER
    untimed = "time" not in entry and not ours
    return (untimed, str(entry.get("time", "")), not ours)
