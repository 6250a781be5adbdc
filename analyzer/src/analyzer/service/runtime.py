"""What one application consists of, put together from its settings: the only place that picks adapters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from analyzer.service.detection import Detector, EngineDetector
from analyzer.service.judging import Judging
from analyzer.service.keys import Keys
from analyzer.service.lifecycle import Lifecycle
from analyzer.service.metrics import Metrics
from analyzer.service.ratelimits import RateLimits
from analyzer.service.registry import Registry
from analyzer.service.statistics import Recorder
from analyzer.service.training import Training
from analyzer.service.watch import Watch
from analyzer.service.workers import Workers
from analyzer.settings import Settings
from analyzer.storage.memory import MemoryCache, MemoryStore
from analyzer.storage.ports import Store, VerdictCache
from analyzer.storage.postgres import PostgresStore
from analyzer.storage.records import StoreUnavailable
from analyzer.storage.redis_cache import RedisCache, TieredCache, connect

log = logging.getLogger("analyzer")

LAST_FLUSH = 3.0
"""Seconds that the last counts may take at the end of the process."""


class Runtime:
    """The parts of one application."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle, detector: Detector | None = None) -> None:
        self.settings = settings
        self.lifecycle = lifecycle
        self.detector = detector or EngineDetector(settings.fingerprint, settings.opinion)
        self.metrics = Metrics()
        self.workers = Workers(settings.workers, settings.max_waiting)
        self.store = _store(settings)
        self.cache = _cache(settings)
        self.registry = Registry(self.store, self.cache, self.detector.model_version)
        self.recorder = Recorder(self.store)
        self.keys = Keys(settings, self.store, self.registry)
        self.limits = RateLimits(settings.rate_limit, settings.redis_url)
        self.training = Training(self.detector, self.store, self.registry, self.workers)
        self.judging = Judging(
            self.detector,
            settings.fingerprint,
            self.registry,
            self.cache,
            self.workers,
            self.recorder,
            self.metrics,
        )
        shared = (bool(settings.database_url), bool(settings.redis_url))
        self.watch = Watch(self.store, self.cache, self.registry, self.recorder, self.metrics, shared)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connects, watches, and at the end ends jobs and sends counts. Starts without dependencies, too."""
        # The first request must not wait for expressions to be compiled, nor meet an engine that is broken.
        self.lifecycle.warm = await self.workers.run(self.detector.self_test) > 0
        await self.store.open()
        await self.watch.look()
        watching = asyncio.create_task(self.watch.run())
        try:
            yield
        finally:
            await self.training.close()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await self._last_flush()
            self.workers.close()
            await self.cache.close()
            await self.store.close()

    async def _last_flush(self) -> None:
        try:
            async with asyncio.timeout(LAST_FLUSH):
                await self.recorder.flush()
        except (StoreUnavailable, TimeoutError):
            log.error("%d counted verdicts were not stored: the database is away", self.recorder.pending)


def _store(settings: Settings) -> Store:
    return PostgresStore(settings.database_url) if settings.database_url else MemoryStore()


def _cache(settings: Settings) -> VerdictCache:
    if not settings.redis_url:
        return MemoryCache()
    lifetime = int(settings.cache_lifetime.total_seconds())
    return TieredCache(MemoryCache(), RedisCache(connect(settings.redis_url), lifetime))
