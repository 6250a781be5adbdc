"""The node's Lease in `kube-node-lease`: the heartbeat that a node life-cycle controller would read."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from local_platform.cluster.controllers.api import ApiClient, ApiError, ApiUnavailableError
from local_platform.cluster.controllers.resources import LEASES, NODES, Object

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
DURATION_SECONDS = 40
# The kubelet renews after a quarter of the duration.
RENEW_SECONDS = DURATION_SECONDS / 4
FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 7.0


class NodeLease:
    """Creates the Lease when its Node exists, and renews it."""

    def __init__(self, client: ApiClient, name: str) -> None:
        self._client = client
        self._name = name

    async def run(self) -> None:
        """Renew for ever. An API server that is away, or a Node that is not there yet, is waited for."""
        retry = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._renew()
            except (ApiError, ApiUnavailableError) as error:
                log.info("node lease: %s", error)
                await asyncio.sleep(retry)
                retry = min(2 * retry, LONGEST_RETRY_SECONDS)
            else:
                retry = FIRST_RETRY_SECONDS
                await asyncio.sleep(RENEW_SECONDS)

    async def _renew(self) -> None:
        spec = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": DURATION_SECONDS,
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        current = await self._client.find(LEASES, NAMESPACE, self._name)
        if current is None:
            node = await self._client.get(NODES, "", self._name)
            metadata: Object = {
                "name": self._name,
                "namespace": NAMESPACE,
                "ownerReferences": [_reference(node)],
            }
            await self._client.create(LEASES, NAMESPACE, {"metadata": metadata, "spec": spec})
            return
        await self._client.replace(LEASES, NAMESPACE, self._name, {**current, "spec": spec})


def _reference(node: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "name": node["metadata"]["name"],
        "uid": node["metadata"]["uid"],
    }
