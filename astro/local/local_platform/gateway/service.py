"""The gateway: watches the cluster, keeps Envoy configured, and tells each route what became of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import aiohttp
from kubernetes_asyncio.client import ApiClient

from local_platform.gateway.admin import EnvoyUnreachable
from local_platform.gateway.dataplane import DataPlane
from local_platform.gateway.envoy import EnvoyDidNotStart, EnvoyProcess
from local_platform.gateway.reflector import Reflector
from local_platform.gateway.status import parent_statuses, write_status
from local_platform.gateway.translate import Condition, Json, Key, Translation, World, translate
from local_platform.gateway.xds import ConfigurationRefused

log = logging.getLogger(__name__)

ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes"
SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"

CHECK_ENVOY_S = 1.0


class Programmer:
    """Brings Envoy to a wanted world; a route that Envoy refuses keeps its last accepted form.

    One bad route must not hold up the others: when Envoy refuses the whole table, the routes that changed are
    tried one by one on top of the accepted ones.
    """

    def __init__(self, data_plane: DataPlane) -> None:
        self._data_plane = data_plane
        self._accepted: dict[Key, Json] = {}
        self._refused: dict[Key, tuple[Json, str]] = {}

    async def program(self, world: World, now: float) -> dict[Key, tuple[Condition, ...]]:
        """Apply the world; return the conditions of every route in it."""
        wanted = translate(world)
        rejected = {
            key: conditions for key, conditions in wanted.verdicts.items() if not conditions[0].status
        }
        self._refused = {
            key: (spec, reason)
            for key, (spec, reason) in self._refused.items()
            if key in world.routes and world.routes[key]["spec"] == spec
        }
        held = rejected.keys() | self._refused.keys()
        routes = {key: route for key, route in world.routes.items() if key not in held}
        routes |= {key: self._accepted[key] for key in held if key in self._accepted}
        try:
            applied = await self._apply(world, routes, now)
        except ConfigurationRefused:
            applied = await self._apply_one_by_one(world, routes, now)
        return {key: self._verdict(key, applied, rejected) for key in world.routes}

    async def _apply(self, world: World, routes: dict[Key, Json], now: float) -> Translation:
        translation = translate(World(routes, world.services, world.slices))
        await self._data_plane.apply(translation, now)
        self._accepted = routes
        return translation

    async def _apply_one_by_one(self, world: World, routes: dict[Key, Json], now: float) -> Translation:
        good = {key: self._accepted[key] for key in routes if key in self._accepted}
        for key in sorted(routes):
            if good.get(key) == routes[key]:
                continue
            try:
                await self._apply(world, {**good, key: routes[key]}, now)
                good[key] = routes[key]
            except ConfigurationRefused as error:
                log.error("Envoy refused HTTPRoute %s/%s: %s", *key, error)
                self._refused[key] = (routes[key]["spec"], str(error))
        return await self._apply(world, good, now)

    def _verdict(
        self, key: Key, applied: Translation, rejected: dict[Key, tuple[Condition, ...]]
    ) -> tuple[Condition, ...]:
        if key in rejected:
            reason = rejected[key][0].message
        elif key in self._refused:
            reason = self._refused[key][1]
        else:
            programmed = Condition("Programmed", True, "Programmed", "Envoy serves this generation")
            return (*applied.verdicts[key], programmed)
        served = "its last accepted form stays" if key in self._accepted else "nothing is served for it"
        return (
            Condition("Accepted", False, "UnsupportedValue", reason),
            Condition("Programmed", False, "Invalid", f"{reason}; {served}"),
        )


class Gateway:
    """The control loop; `run` ends only by cancellation and leaves Envoy running."""

    def __init__(
        self,
        api: ApiClient,
        envoy: EnvoyProcess,
        data_plane: DataPlane,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._envoy = envoy
        self._data_plane = data_plane
        self._programmer = Programmer(data_plane)
        self._clock = clock
        self._changed = asyncio.Event()
        self._routes, self._services, self._slices = (
            Reflector(api, path, self._changed.set) for path in (ROUTES, SERVICES, SLICES)
        )
        self._untold = False
        self.programmed = asyncio.Event()

    async def run(self) -> None:
        """Watch and program until cancelled."""
        self._data_plane.prepare()
        if not await self._envoy.ensure_running():
            log.info("adopted the running Envoy")
        async with asyncio.TaskGroup() as tasks:
            for reflector in (self._routes, self._services, self._slices):
                tasks.create_task(reflector.run())
            tasks.create_task(self._keep_programmed())

    async def _keep_programmed(self) -> None:
        for reflector in (self._routes, self._services, self._slices):
            await reflector.synced.wait()
        self._changed.set()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_ENVOY_S):
                    await self._changed.wait()
            if not self._envoy.running():
                log.error("Envoy has ended; starting it again")
                try:
                    await self._envoy.ensure_running()
                except EnvoyDidNotStart as error:
                    log.error("%s", error)
                    continue
                self._changed.set()
            if self._changed.is_set() or self._untold or self._data_plane.cleanup_due(self._clock()):
                self._changed.clear()
                await self._program()

    async def _program(self) -> None:
        world = World(dict(self._routes.objects), dict(self._services.objects), dict(self._slices.objects))
        try:
            verdicts = await self._programmer.program(world, self._clock())
        except (ConfigurationRefused, EnvoyUnreachable, OSError) as error:
            log.error("Envoy keeps its earlier configuration: %s", error)
            await asyncio.sleep(CHECK_ENVOY_S)
            self._changed.set()
            return
        self.programmed.set()
        await self._tell(world, verdicts)

    async def _tell(self, world: World, verdicts: dict[Key, tuple[Condition, ...]]) -> None:
        self._untold = False
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for key, conditions in verdicts.items():
            parents = parent_statuses(world.routes[key], conditions, now)
            if parents is None:
                continue
            try:
                await write_status(self._api, world.routes[key], parents)
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                # Routing works already; the status is tried again at the next check.
                self._untold = True
                log.warning("HTTPRoute %s/%s: %s", *key, error)
