"""Deletion of namespaces: everything in them first, then the namespace itself."""

from __future__ import annotations

import time

from local_platform.cluster.controllers.api import ApiError
from local_platform.cluster.controllers.controller import Context, Controller
from local_platform.cluster.controllers.discovery import discover
from local_platform.cluster.controllers.pods import is_deleting
from local_platform.cluster.controllers.recorder import now_text
from local_platform.cluster.controllers.resources import NAMESPACES, Object, Resource, name_of

SETTLE = 1.0
RETRY = 0.5


class NamespaceController(Controller):
    """Waits a moment before it deletes, as the real one does (5 s there), so that writers see the
    namespace end.
    """

    component = "namespace-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._namespaces = self.watch(NAMESPACES)
        self._seen: dict[str, float] = {}

    async def reconcile(self, namespace: str, name: str) -> None:
        item = self._namespaces.get("", name)
        if item is None or not is_deleting(item):
            self._seen.pop(name, None)
            return
        if not item["spec"].get("finalizers"):
            return
        since = self._seen.setdefault(item["metadata"]["uid"], time.monotonic())
        if time.monotonic() - since < SETTLE:
            self.queue.add_after(("", name), SETTLE)
            return
        remaining = await self._delete_contents(name)
        item = await self._write_conditions(item, remaining)
        if remaining:
            self.queue.add_after(("", name), RETRY)
            return
        body = {**item, "spec": {**item["spec"], "finalizers": []}}
        path = NAMESPACES.path("", name, "finalize")
        await self.client.request("PUT", path, {"apiVersion": "v1", "kind": "Namespace", **body})
        self._seen.pop(item["metadata"]["uid"], None)

    async def _delete_contents(self, namespace: str) -> dict[Resource, list[Object]]:
        """Ask for the deletion of everything; returns what is still there."""
        remaining = {}
        for resource in await discover(self.client):
            if not resource.namespaced or resource.plural == "events":
                continue
            for item in (await self.client.list(resource, namespace)).get("items") or []:
                if not is_deleting(item):
                    try:
                        await self.client.delete(resource, namespace, name_of(item), propagation="Background")
                    except ApiError as error:
                        if error.status != 405:
                            raise
            left = (await self.client.list(resource, namespace)).get("items") or []
            if left:
                remaining[resource] = left
        if not remaining:
            await self._delete_events(namespace)
        return remaining

    async def _delete_events(self, namespace: str) -> None:
        """Events go last: what happens while the rest is deleted is still written down."""
        await self.client.request("DELETE", f"/api/v1/namespaces/{namespace}/events")

    async def _write_conditions(self, item: Object, remaining: dict[Resource, list[Object]]) -> Object:
        known = {one["type"]: one for one in (item.get("status") or {}).get("conditions") or []}
        conditions = []
        for kind, status, reason, message in conditions_of(remaining):
            before = known.get(kind)
            same = before is not None and before["status"] == status
            conditions.append(
                {
                    "type": kind,
                    "status": status,
                    "lastTransitionTime": before["lastTransitionTime"] if before and same else now_text(),
                    "reason": reason,
                    "message": message,
                }
            )
        if conditions == (item.get("status") or {}).get("conditions"):
            return item
        body = {**item, "status": {**(item.get("status") or {}), "conditions": conditions}}
        fresh = await self.client.replace(NAMESPACES, "", name_of(item), body, "status")
        self._namespaces.remember(fresh)
        return fresh


def conditions_of(remaining: dict[Resource, list[Object]]) -> list[tuple[str, str, str, str]]:
    """Type, status, reason and message of the five conditions of a namespace that is being deleted."""
    counts = ", ".join(
        f"{resource.plural}. has {len(items)} resource instances" for resource, items in remaining.items()
    )
    finalizers: dict[str, int] = {}
    for items in remaining.values():
        for item in items:
            for finalizer in item["metadata"].get("finalizers") or []:
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    return [
        (
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            f"Some resources are remaining: {counts}",
        )
        if counts
        else ("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"),
        (
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {held}",
        )
        if held
        else (
            "NamespaceFinalizersRemaining",
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ]
