"""What happened beside the recorded requests: namespaces that came and went, writes past the proxy."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence

from .connection import Connection
from .recordings import Exchange, Scenario, decoded
from .scope import SWEPT_BEFORE, UNRECORDED

POLL_SECONDS = 0.05
SWEEP_SECONDS = 20.0
NAMESPACES = "/api/v1/namespaces"
_NAMESPACE = re.compile(r"/namespaces/([^/]+)/")
_OPENSHIFT = "openshift-service-ca.crt"


class Surroundings:
    """Of one double."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: set[str] = set()

    async def prepare(self, namespaces: Sequence[str]) -> None:
        """Creates the namespaces that are there when the first scenario begins."""
        for name in namespaces:
            self._known.add(name)
            await self._create(name)

    async def before(self, scenario: Scenario) -> bool:
        """Puts the namespaces in order; True when one was missing that the recording did not make."""
        await self._sweep(scenario)
        missing = False
        for exchange in scenario.exchanges:
            made = exchange.method == "POST" and exchange.path == NAMESPACES
            if made and exchange.status in (201, 409):
                break
            found = _NAMESPACE.search(exchange.path)
            if not found or exchange.status not in (200, 201) or found[1] in self._known:
                continue
            if exchange.method == "GET":
                continue
            self._known.add(found[1])
            if (await self._connection.read(f"{NAMESPACES}/{found[1]}")).status == 404:
                missing = True
                await self._create(found[1])
        return missing

    async def _sweep(self, scenario: Scenario) -> None:
        """Deletes the namespaces that were deleted past the recording proxy; waits for their end."""
        for namespace in SWEPT_BEFORE.get(scenario.name, ()):
            path = f"{NAMESPACES}/{namespace}"
            deadline = time.monotonic() + SWEEP_SECONDS
            answer = await self._connection.write("DELETE", path, None)
            while answer.status != 404 and time.monotonic() < deadline:
                await asyncio.sleep(POLL_SECONDS)
                answer = await self._connection.read(path)

    async def _create(self, name: str) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self._connection.write("POST", NAMESPACES, namespace, agent="kubectl-create/1")
        await self._create_openshift(name)

    async def beside(self, exchange: Exchange) -> None:
        """Makes the writes that only a watch shows, once that watch is open."""
        for write in UNRECORDED.get((exchange.scenario, exchange.seq), ()):
            path = exchange.path + (f"/{write.name}" if write.name else "")
            kind = "application/merge-patch+json" if write.method == "PATCH" else "application/json"
            await self._connection.write(
                write.method, f"{path}?fieldManager={write.manager}", write.body, kind=kind
            )

    async def after(self, exchange: Exchange) -> None:
        """Does what OpenShift's service-ca controller did when it was recorded: a ConfigMap a namespace."""
        created = exchange.method == "POST" and exchange.path == NAMESPACES and exchange.status == 201
        removed = exchange.method == "DELETE" and exchange.path.endswith(_OPENSHIFT)
        if not (created or removed) or exchange.parameters.get("dryRun"):
            return
        body = decoded(exchange.response)
        await self._create_openshift(body["metadata"]["name"] if created else exchange.path.split("/")[4])

    async def _create_openshift(self, namespace: str) -> None:
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _OPENSHIFT}, "data": {}}
        path = f"{NAMESPACES}/{namespace}/configmaps"
        await self._connection.write("POST", path, config_map, agent="service-ca/1")

    async def compacted(self) -> None:
        """A later version: the recorded etcd was compacted after the one that old tokens speak of."""
        marker = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}}
        path = f"{NAMESPACES}/default/configmaps"
        await self._connection.write("POST", path, marker)
        await self._connection.write("DELETE", f"{path}/later", None)
