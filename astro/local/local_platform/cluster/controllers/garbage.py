"""Garbage collection: dependents follow their owners, at once, before them, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable

from local_platform.cluster.controllers.api import ApiError, ApiUnavailableError
from local_platform.cluster.controllers.controller import Context, Controller
from local_platform.cluster.controllers.discovery import discover
from local_platform.cluster.controllers.informer import Informer
from local_platform.cluster.controllers.pods import is_deleting
from local_platform.cluster.controllers.resources import Object, Resource, name_of, namespace_of

log = logging.getLogger(__name__)

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
REDISCOVER = 20.0
IGNORED = {"events", "leases", "componentstatuses", "nodes"}


class GarbageCollector(Controller):
    """Follows every kind there is. Keys are ("", uid)."""

    component = "garbage-collector-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._objects: dict[str, tuple[Resource, Object]] = {}
        self._dependents: dict[str, set[str]] = defaultdict(set)
        self._followed: dict[Resource, Informer] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_all(group))
            group.create_task(super().run())

    async def _follow_all(self, group: asyncio.TaskGroup) -> None:
        while True:
            try:
                found = await discover(self.client)
            except (ApiError, ApiUnavailableError) as error:
                log.info("garbage collector: %s", error)
                await asyncio.sleep(1.0)
                continue
            for resource in found:
                if resource.plural not in IGNORED and resource not in self._followed:
                    self._follow(resource, group)
            await asyncio.sleep(REDISCOVER)

    def _follow(self, resource: Resource, group: asyncio.TaskGroup) -> None:
        shared = next((one for one in self.context.informers if one.resource == resource), None)
        informer = shared or Informer(self.context.client, resource)
        self._followed[resource] = informer
        changed = self._listener(resource)
        informer.listen(changed)
        for item in informer.all():
            changed("ADDED", item)
        if shared is None:
            group.create_task(informer.run())

    def _listener(self, resource: Resource) -> Callable[[str, Object], None]:
        def changed(kind: str, item: Object) -> None:
            uid = item["metadata"]["uid"]
            self._forget_references(uid)
            if kind == "DELETED":
                self._objects.pop(uid, None)
                for dependent in self._dependents.get(uid, ()):
                    self.queue.add(("", dependent))
                for owner in item["metadata"].get("ownerReferences") or []:
                    self.queue.add(("", owner["uid"]))
                return
            self._objects[uid] = (resource, item)
            for owner in item["metadata"].get("ownerReferences") or []:
                self._dependents[owner["uid"]].add(uid)
            if item["metadata"].get("ownerReferences") or is_deleting(item):
                self.queue.add(("", uid))

        return changed

    def _forget_references(self, uid: str) -> None:
        known = self._objects.get(uid)
        for owner in (known[1]["metadata"].get("ownerReferences") or []) if known else ():
            self._dependents[owner["uid"]].discard(uid)
            if not self._dependents[owner["uid"]]:
                del self._dependents[owner["uid"]]

    async def reconcile(self, namespace: str, name: str) -> None:
        found = self._objects.get(name)
        if found is None:
            return
        resource, item = found
        finalizers = item["metadata"].get("finalizers") or []
        if is_deleting(item):
            if ORPHAN in finalizers:
                await self._orphan(resource, item)
            elif FOREGROUND in finalizers:
                await self._delete_dependents_first(resource, item)
            return
        await self._delete_if_ownerless(resource, item)

    def _living_dependents(self, uid: str) -> list[tuple[Resource, Object]]:
        return [self._objects[one] for one in sorted(self._dependents.get(uid, ())) if one in self._objects]

    async def _orphan(self, resource: Resource, item: Object) -> None:
        uid = item["metadata"]["uid"]
        for kind, dependent in self._living_dependents(uid):
            await self._drop_owners(kind, dependent, {uid})
        await self._remove_finalizer(resource, item, ORPHAN)

    async def _delete_dependents_first(self, resource: Resource, item: Object) -> None:
        uid = item["metadata"]["uid"]
        blocking = []
        for kind, dependent in self._living_dependents(uid):
            reference = next(one for one in dependent["metadata"]["ownerReferences"] if one["uid"] == uid)
            if reference.get("blockOwnerDeletion"):
                blocking.append(dependent)
            if not is_deleting(dependent):
                await self._delete(kind, dependent, "Foreground")
        if not blocking:
            await self._remove_finalizer(resource, item, FOREGROUND)

    async def _delete_if_ownerless(self, resource: Resource, item: Object) -> None:
        owners = item["metadata"].get("ownerReferences") or []
        if not owners:
            return
        gone = {owner["uid"] for owner in owners if not await self._exists(owner, namespace_of(item))}
        if len(gone) == len(owners):
            await self._delete(resource, item, "Background")
        elif gone:
            await self._drop_owners(resource, item, gone)
        else:
            for owner in owners:
                parent = self._objects.get(owner["uid"])
                if (
                    parent
                    and is_deleting(parent[1])
                    and FOREGROUND in (parent[1]["metadata"].get("finalizers") or [])
                ):
                    self.queue.add(("", owner["uid"]))

    async def _exists(self, owner: Object, namespace: str) -> bool:
        if owner["uid"] in self._objects:
            return True
        resource = next(
            (
                one
                for one in self._followed
                if (one.api_version, one.kind) == (owner["apiVersion"], owner["kind"])
            ),
            None,
        )
        if resource is None:
            return True  # a kind that is not served (any more) proves nothing
        found = await self.client.find(resource, namespace if resource.namespaced else "", owner["name"])
        return found is not None and found["metadata"]["uid"] == owner["uid"]

    async def _delete(self, resource: Resource, item: Object, propagation: str) -> None:
        await self.client.delete(
            resource, namespace_of(item), name_of(item), uid=item["metadata"]["uid"], propagation=propagation
        )

    async def _drop_owners(self, resource: Resource, item: Object, uids: set[str]) -> None:
        kept = [one for one in item["metadata"].get("ownerReferences") or [] if one["uid"] not in uids]
        await self._patch_metadata(resource, item, {"ownerReferences": kept or None})

    async def _remove_finalizer(self, resource: Resource, item: Object, finalizer: str) -> None:
        kept = [one for one in item["metadata"].get("finalizers") or [] if one != finalizer]
        await self._patch_metadata(resource, item, {"finalizers": kept or None})

    async def _patch_metadata(self, resource: Resource, item: Object, change: Object) -> None:
        metadata = {
            "uid": item["metadata"]["uid"],
            "resourceVersion": item["metadata"]["resourceVersion"],
            **change,
        }
        try:
            await self.client.patch(resource, namespace_of(item), name_of(item), {"metadata": metadata})
        except ApiError as error:
            if not error.not_found:
                raise
