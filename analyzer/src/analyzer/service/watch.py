"""Whether the cache and the store answer, looked at every few seconds and not by every request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from analyzer.service.metrics import Metrics
from analyzer.service.registry import Registry
from analyzer.service.statistics import Recorder
from analyzer.storage.ports import Store, VerdictCache
from analyzer.storage.records import StoreUnavailable

log = logging.getLogger("analyzer.dependencies")

INTERVAL = 1.0
"""Seconds between two looks; also how long another process may work with an older snapshot."""


@dataclass
class Dependency:
    """What was seen last of a dependency."""

    name: str
    shared: bool
    """Whether it is a server; otherwise it is a part of this process."""
    problem: str | None = None
    seconds: float = 0.0
    looked_at: float = field(default_factory=time.monotonic)

    @property
    def up(self) -> bool:
        return self.problem is None


class Watch:
    """Looks at the dependencies, reads the registry anew and sends the counts, until it is stopped."""

    def __init__(
        self,
        store: Store,
        cache: VerdictCache,
        registry: Registry,
        recorder: Recorder,
        metrics: Metrics,
        shared: tuple[bool, bool],
    ) -> None:
        self._store = store
        self._cache = cache
        self._registry = registry
        self._recorder = recorder
        self._metrics = metrics
        self.database = Dependency("database", shared[0])
        self.cache = Dependency("cache", shared[1])
        for dependency in (self.database, self.cache):
            self._seen(dependency, None)

    @property
    def degraded(self) -> bool:
        """Whether the service goes on without something that it was given."""
        return not (self.database.up and self.cache.up) or self._registry.degraded is not None

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """One look at everything."""
        await asyncio.gather(self._look(self.cache, self._cache.ping), self._look(self.database, self._sync))
        self._metrics.pending_verdicts.set(self._recorder.pending)

    async def _sync(self) -> None:
        await self._registry.refresh()
        await self._recorder.flush()

    async def _look(self, dependency: Dependency, ask: Callable[[], Awaitable[None]]) -> None:
        begin = time.monotonic()
        problem: str | None = None
        try:
            await ask()
        except StoreUnavailable as error:
            problem = str(error)
        except Exception:
            # The loop must outlive what nobody foresaw; its place stands in the log.
            log.exception("looking at the %s failed", dependency.name)
            problem = "unexpected error; see the log"
        if (problem is None) is not dependency.up:
            log.warning("%s: %s", dependency.name, problem or "answers again")
        self._seen(dependency, problem)
        dependency.seconds = time.monotonic() - begin
        dependency.looked_at = time.monotonic()

    def _seen(self, dependency: Dependency, problem: str | None) -> None:
        """Health and metric change together, also while the look at the other dependency still waits."""
        dependency.problem = problem
        self._metrics.dependency_up.labels(dependency.name).set(dependency.up)
