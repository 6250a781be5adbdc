"""Follows one kind of object: a list, then a watch, then from where it broke off; a cache anybody may
read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from local_platform.cluster.controllers.api import ApiClient, ApiError, ApiUnavailableError
from local_platform.cluster.controllers.resources import Object, Resource, key_of

log = logging.getLogger(__name__)

Listener = Callable[[str, Object], None]
SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class Informer:
    """The objects of one kind as last seen. Listeners get ("ADDED" | "MODIFIED" | "DELETED", object)."""

    def __init__(self, client: ApiClient, resource: Resource, **selectors: str) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self._client = client
        self._selectors = selectors
        self._objects: dict[tuple[str, str], Object] = {}
        self._listeners: list[Listener] = []
        self._version = ""

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def all(self, namespace: str | None = None) -> Iterator[Object]:
        return (
            item
            for (where, _), item in list(self._objects.items())
            if namespace is None or where == namespace
        )

    def remember(self, item: Object) -> None:
        """Take over what a write of our own returned, so that the next look does not see the past."""
        known = self._objects.get(key_of(item))
        if known is None or _version(known) < _version(item):
            self._objects[key_of(item)] = item

    async def run(self) -> None:
        """Follow until cancelled. An API server that is away is waited for."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                pause = SHORTEST_PAUSE
            except ApiError as error:
                if error.status != 410:
                    log.warning("following %s: %s", self.resource.plural, error)
                self._version = ""
            except ApiUnavailableError as error:
                log.info("following %s: %s", self.resource.plural, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _list(self) -> None:
        answer = await self._client.list(self.resource, **self._selectors)
        fresh = {key_of(item): item for item in answer.get("items") or []}
        for key in [key for key in self._objects if key not in fresh]:
            self._tell("DELETED", self._objects.pop(key))
        for key, item in fresh.items():
            item.setdefault("apiVersion", self.resource.api_version)
            item.setdefault("kind", self.resource.kind)
            known = self._objects.get(key)
            self._objects[key] = item
            if known is None or known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._tell("ADDED" if known is None else "MODIFIED", item)
        self._version = answer["metadata"]["resourceVersion"]
        self.synced.set()

    async def _watch(self) -> None:
        query = {"resourceVersion": self._version, **self._selectors}
        async for kind, item in self._client.watch(self.resource.path(), query):
            self._version = item["metadata"]["resourceVersion"]
            if kind == "BOOKMARK":
                continue
            if kind == "DELETED":
                self._objects.pop(key_of(item), None)
            else:
                known = self._objects.get(key_of(item))
                if known is not None and _version(known) > _version(item):
                    continue
                self._objects[key_of(item)] = item
            self._tell(kind, item)

    def _tell(self, kind: str, item: Object) -> None:
        for listener in self._listeners:
            listener(kind, item)


def _version(item: Object) -> int:
    return int(item["metadata"]["resourceVersion"])
