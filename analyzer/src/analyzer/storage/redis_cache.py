"""The cache of verdicts in Redis, shared by all processes. Away, it knows nothing, at no cost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from analyzer.storage.memory import MemoryCache
from analyzer.storage.records import StoreUnavailable

PREFIX = "analyzer:verdict"
TIMEOUT = 0.25
"""Seconds that one command may take."""
PAUSE = 2.0
"""Seconds without another try after a failure: an outage must not cost every request a timeout."""


def connect(url: str) -> Redis:
    """A client whose commands end within `TIMEOUT`; it connects at the first one."""
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        max_connections=64,
        health_check_interval=15,
    )


class RedisCache:
    """`VerdictCache` with keys `analyzer:verdict:VERSION:KEY` that end after `lifetime` seconds."""

    def __init__(self, client: Redis, lifetime: int) -> None:
        self._client = client
        self._lifetime = lifetime
        self._again_at = 0.0

    async def get_many(self, version: str, keys: Sequence[str]) -> list[bytes | None]:
        if not keys or self._pausing:
            return [None] * len(keys)
        try:
            found = await self._client.mget([f"{PREFIX}:{version}:{key}" for key in keys])
        except (RedisError, OSError, TimeoutError):
            self._pause()
            return [None] * len(keys)
        return [entry if isinstance(entry, bytes) else None for entry in found]

    async def put_many(self, version: str, entries: Mapping[str, bytes]) -> None:
        if not entries or self._pausing:
            return
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for key, entry in entries.items():
                    pipeline.set(f"{PREFIX}:{version}:{key}", entry, ex=self._lifetime)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError):
            self._pause()

    async def drop(self, version: str) -> None:
        # What an outage keeps here ends by its lifetime, and no key of another version leads to it.
        try:
            async for key in self._client.scan_iter(f"{PREFIX}:{version}:*", count=500):
                await self._client.unlink(key)
        except (RedisError, OSError, TimeoutError):
            self._pause()

    async def ping(self) -> None:
        try:
            await self._client.ping()
        except (RedisError, OSError, TimeoutError) as error:
            self._pause()
            raise StoreUnavailable(f"Redis did not answer ({type(error).__name__})") from error
        self._again_at = 0.0

    async def close(self) -> None:
        await self._client.aclose()

    @property
    def _pausing(self) -> bool:
        return time.monotonic() < self._again_at

    def _pause(self) -> None:
        self._again_at = time.monotonic() + PAUSE


class TieredCache:
    """A small cache of this process in front of the shared one."""

    def __init__(self, near: MemoryCache, far: RedisCache) -> None:
        self._near = near
        self._far = far

    async def get_many(self, version: str, keys: Sequence[str]) -> list[bytes | None]:
        found = await self._near.get_many(version, keys)
        missing = [key for key, entry in zip(keys, found, strict=True) if entry is None]
        if not missing:
            return found
        fetched = dict(zip(missing, await self._far.get_many(version, missing), strict=True))
        await self._near.put_many(
            version, {key: entry for key, entry in fetched.items() if entry is not None}
        )
        return [entry if entry is not None else fetched[key] for key, entry in zip(keys, found, strict=True)]

    async def put_many(self, version: str, entries: Mapping[str, bytes]) -> None:
        await self._near.put_many(version, entries)
        await self._far.put_many(version, entries)

    async def drop(self, version: str) -> None:
        await self._near.drop(version)
        await self._far.drop(version)

    async def ping(self) -> None:
        await self._far.ping()

    async def close(self) -> None:
        await self._near.close()
        await self._far.close()
