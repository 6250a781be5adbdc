"""Carries a translation to Envoy in an order that never routes to a cluster that is not there yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from local_platform.gateway.admin import EnvoyAdmin
from local_platform.gateway.backends import Backend, Json, cluster, load_assignment
from local_platform.gateway.bootstrap import CLUSTERS_FILE, ROUTES_FILE, STAT_PREFIX
from local_platform.gateway.translate import ROUTE_CONFIGURATION, Translation, route_configuration
from local_platform.gateway.xds import (
    ACKNOWLEDGE_TIMEOUT_S,
    POLL_S,
    ConfigurationRefused,
    Publisher,
    Subscription,
)

LINGER_S = 120.0
"""A cluster that no route names any more stays so long: twice the default time of a request."""

WARMING = "cluster_manager.warming_clusters"

Addresses = list[tuple[str, int]]


class DataPlane:
    """What Envoy has been told. Endpoints first, then clusters, then routes; unused clusters go last."""

    def __init__(self, admin: EnvoyAdmin, xds: Path, envoy_log: Path) -> None:
        self._admin = admin
        self._xds = xds
        self._publisher = Publisher(admin, envoy_log)
        self._clusters = Subscription(xds / CLUSTERS_FILE, "cluster_manager.cds")
        self._routes = Subscription(xds / ROUTES_FILE, f"http.{STAT_PREFIX}.rds.{ROUTE_CONFIGURATION}")
        self._served: set[Backend] = set()
        self._unused: dict[Backend, float] = {}

    def prepare(self) -> None:
        """Write empty files where none are: Envoy does not start without them. Older ones stay and serve."""
        (self._xds / "endpoints").mkdir(parents=True, exist_ok=True)
        for subscription, resources in ((self._clusters, []), (self._routes, [route_configuration({})])):
            if not subscription.path.exists():
                self._publisher.write(subscription.path, resources)

    async def apply(self, translation: Translation, now: float) -> None:
        """Make Envoy serve this translation; `now` is any monotonic time in seconds.

        Raises ConfigurationRefused (Envoy serves what it served before) and EnvoyUnreachable.
        """
        wanted = translation.backends
        await self.apply_endpoints(wanted)
        unused = {
            backend: self._unused.get(backend, now)
            for backend in self._served - wanted.keys()
            if now - self._unused.get(backend, now) < LINGER_S
        }
        served = wanted.keys() | unused.keys()
        if await self._publisher.publish(self._clusters, self._cluster_list(served)):
            await self._until_warm()
        self._served, self._unused = set(served), unused
        await self._publisher.publish(self._routes, [translation.route_configuration])

    async def apply_endpoints(self, wanted: Mapping[Backend, Addresses]) -> None:
        """Publish addresses; for clusters that Envoy has already, wait until it uses them."""
        for backend, addresses in wanted.items():
            path, resources = self._endpoints(backend), [load_assignment(backend, addresses)]
            if backend in self._served:
                subscription = Subscription(path, f"cluster.{backend.cluster}")
                await self._publisher.publish(subscription, resources)
            else:
                self._publisher.write(path, resources)

    async def _until_warm(self) -> None:
        """Wait until no cluster still reads its endpoints; a route to a warming cluster would answer 500."""
        deadline = asyncio.get_running_loop().time() + ACKNOWLEDGE_TIMEOUT_S
        while int((await self._admin.stats(WARMING)).get(WARMING, "0")):
            if asyncio.get_running_loop().time() > deadline:
                raise ConfigurationRefused("Envoy has clusters that do not get their endpoints")
            await asyncio.sleep(POLL_S)

    def cleanup_due(self, now: float) -> bool:
        """Whether a cluster that no route names has outlived its linger time."""
        return any(now - seen >= LINGER_S for seen in self._unused.values())

    def _endpoints(self, backend: Backend) -> Path:
        return self._xds / "endpoints" / backend.endpoints_file

    def _cluster_list(self, backends: Iterable[Backend]) -> list[Json]:
        return [cluster(backend, str(self._endpoints(backend))) for backend in sorted(backends)]
