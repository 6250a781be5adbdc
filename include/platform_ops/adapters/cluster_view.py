"""What the API servers hold, kept in memory by watches: one a kind and context, shared by all rollouts.

A watch whose other end has vanished without a word would show an old world for ever. So the server is asked
to end each watch after `TURN` seconds, and one that is silent beyond that is given up and listed anew: what
is seen is never older than `TURN + GRACE` seconds, and usually some milliseconds.

Where the right to list and watch a kind in all namespaces is missing, it is read directly, each time.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from platform_ops.core.errors import OpsError, Refused, TemporaryError, Unavailable

from .kube_api import KubeApi, collection_path, object_path

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
Heard = Callable[[Mapping[str, Mapping[str, Object]]], None]
"""Told of all objects of a collection (namespace to name to object) after each change of it."""
TURN = 10
"""Seconds after which the server ends a watch."""
GRACE = 5
"""Seconds that it may be late."""
AGAIN = 60.0
"""Seconds until a watch that was refused is tried again: the right to it may come."""
_GONE = 410


class Reader(Protocol):
    """Objects of a cluster, as they are now or as they were a moment ago."""

    async def find(
        self, context: str, api_version: str, kind: str, namespace: str, name: str
    ) -> Object | None: ...

    async def list(
        self, context: str, api_version: str, kind: str, namespace: str, labels: Mapping[str, str]
    ) -> list[Object]: ...


class DirectReader:
    """Asks the API server each time."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def find(
        self, context: str, api_version: str, kind: str, namespace: str, name: str
    ) -> Object | None:
        return await self._api.find(context, object_path(api_version, kind, namespace, name))

    async def list(
        self, context: str, api_version: str, kind: str, namespace: str, labels: Mapping[str, str]
    ) -> list[Object]:
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        path = object_path(api_version, kind, namespace)
        answer = await self._api.get(context, path, {"labelSelector": selector})
        items: list[Object] = answer.get("items") or []
        return items


class ClusterView:
    """A `Reader` from memory, as far as it may list and watch in all namespaces. Close it after use."""

    def __init__(
        self, api: KubeApi, *, turn: float = TURN, grace: float = GRACE, again: float = AGAIN
    ) -> None:
        self._api = api
        self._direct = DirectReader(api)
        self._turn = turn
        self._grace = grace
        self._again = again
        self._told: set[tuple[str, str, str]] = set()
        self._kept: dict[tuple[str, str, str], _Kept] = {}
        self._listeners: dict[tuple[str, str, str], list[Heard]] = {}

    async def find(
        self, context: str, api_version: str, kind: str, namespace: str, name: str
    ) -> Object | None:
        try:
            kept = await self._synced(context, api_version, kind)
        except Refused as refused:
            self._tell(context, api_version, kind, refused)
            return await self._direct.find(context, api_version, kind, namespace, name)
        return kept.objects.get(namespace, {}).get(name)

    async def list(
        self, context: str, api_version: str, kind: str, namespace: str, labels: Mapping[str, str]
    ) -> list[Object]:
        try:
            kept = await self._synced(context, api_version, kind)
        except Refused as refused:
            self._tell(context, api_version, kind, refused)
            return await self._direct.list(context, api_version, kind, namespace, labels)
        return [one for one in kept.objects.get(namespace, {}).values() if _matches(one, labels)]

    async def listen(self, context: str, api_version: str, kind: str, heard: Heard) -> None:
        """From now on `heard` is told of each change, and of the whole as soon as it is known. Called again,
        it brings back a watch that a refusal ended. Unavailable or Refused while the server does not let us.
        """
        listeners = self._listeners.setdefault((context, api_version, kind), [])
        known = heard in listeners
        if not known:
            listeners.append(heard)
        kept = await self._synced(context, api_version, kind)
        if not known:
            heard(kept.objects)

    def mute(self, heard: Heard) -> None:
        """Tell it no more."""
        for listeners in self._listeners.values():
            if heard in listeners:
                listeners.remove(heard)

    async def aclose(self) -> None:
        for kept in self._kept.values():
            kept.task.cancel()
        for kept in self._kept.values():
            with suppress(asyncio.CancelledError):
                await kept.task
        self._kept.clear()

    def _tell(self, context: str, api_version: str, kind: str, refused: Refused) -> None:
        """Once: it would be said each second of each rollout."""
        if (context, api_version, kind) not in self._told:
            self._told.add((context, api_version, kind))
            log.warning(
                "%s. Until the rights list and watch on %s in all namespaces are there, each look asks",
                refused,
                collection_path(api_version, kind),
            )

    async def _synced(self, context: str, api_version: str, kind: str) -> _Kept:
        """The kept collection; waits for its first list. Unavailable while the server does not answer."""
        key = (context, api_version, kind)
        kept = self._kept.get(key)
        if kept is None or (kept.task.done() and _now() >= kept.again):
            listeners = self._listeners.setdefault(key, [])
            kept = self._kept[key] = _Kept(context, api_version, kind, listeners)
            kept.task = asyncio.create_task(self._keep(kept), name=f"watch {kind} in {context}")
        await kept.told.wait()
        if kept.error is not None:
            raise kept.error
        return kept

    async def _keep(self, kept: _Kept) -> None:
        """List, then watch, for ever. A refusal for good ends it: the next one who asks tries again."""
        pause = 0.5
        while True:
            try:
                await self._list(kept)
                pause = 0.5
                while await self._watch(kept):
                    pass
            except TemporaryError as error:
                kept.lose(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5.0)
            except OpsError as error:
                kept.again = _now() + self._again
                kept.lose(error)
                return

    async def _list(self, kept: _Kept) -> None:
        path = collection_path(kept.api_version, kept.kind)
        answer = await self._api.get(kept.context, path)
        try:
            kept.replace(answer.get("items") or [], answer["metadata"]["resourceVersion"])
        except (KeyError, TypeError) as odd:
            raise Unavailable(f"{kept.context} answers {path} with something else than a list") from odd

    async def _watch(self, kept: _Kept) -> bool:
        """One turn; False when the server no longer knows the version: list again."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": kept.version,
            "timeoutSeconds": f"{self._turn:g}",
        }
        lines = self._api.lines(kept.context, collection_path(kept.api_version, kept.kind), query)
        try:
            async with asyncio.timeout(self._turn + self._grace):
                async for line in lines:
                    if line and not kept.apply(json.loads(line)):
                        return False
        except TimeoutError:
            raise Unavailable(f"the watch of {kept.kind} in {kept.context} fell silent") from None
        except (KeyError, TypeError, ValueError) as torn:
            raise Unavailable(f"the watch of {kept.kind} in {kept.context} broke off in mid-line") from torn
        finally:
            await lines.aclose()
        return True


@dataclass
class _Kept:
    """A collection as far as the watch has told."""

    context: str
    api_version: str
    kind: str
    listeners: list[Heard] = field(default_factory=list)
    version: str = ""
    objects: dict[str, dict[str, Object]] = field(default_factory=dict)
    """Namespace to name to object."""
    error: OpsError | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first list, or by why there is none."""
    again: float = 0.0
    """When one that was refused may be tried again, in the loop's time."""
    task: asyncio.Task[None] = field(init=False)

    def replace(self, items: list[Object], version: str) -> None:
        self.objects = {}
        for item in items:
            self._put(item)
        self.version, self.error = version, None
        self.told.set()
        self._tell()

    def lose(self, error: OpsError) -> None:
        """What is in memory may be old: whoever asks hears why, until it is listed again."""
        self.error = error
        self.told.set()

    def apply(self, event: Mapping[str, Any]) -> bool:
        """False when the collection must be listed again."""
        one = event["object"]
        if event["type"] == "ERROR":
            if one.get("code") == _GONE:
                return False
            raise Unavailable(f"the watch of {self.kind} in {self.context}: {one.get('message', one)}")
        self.version = one["metadata"]["resourceVersion"]
        if event["type"] == "DELETED":
            self.objects.get(one["metadata"]["namespace"], {}).pop(one["metadata"]["name"], None)
        elif event["type"] != "BOOKMARK":
            self._put(one)
        if event["type"] != "BOOKMARK":
            self._tell()
        return True

    def _tell(self) -> None:
        for heard in tuple(self.listeners):
            heard(self.objects)

    def _put(self, one: Object) -> None:
        metadata = one["metadata"]
        self.objects.setdefault(metadata["namespace"], {})[metadata["name"]] = one


def _now() -> float:
    return asyncio.get_running_loop().time()


def _matches(one: Object, labels: Mapping[str, str]) -> bool:
    own = one["metadata"].get("labels") or {}
    return all(own.get(key) == value for key, value in labels.items())
