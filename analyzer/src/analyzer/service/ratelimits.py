"""How much a key may send: counted in Redis for all processes, in this one alone while Redis is away."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from analyzer.storage.redis_cache import PAUSE, TIMEOUT


@dataclass(frozen=True)
class Window:
    """Where a key stands."""

    allowed: bool
    limit: int
    remaining: int
    reset: int
    """Seconds until the window is as good as new."""
    period: int

    @property
    def headers(self) -> dict[str, str]:
        """The RateLimit fields, and Retry-After when the request was refused."""
        fields = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
            "RateLimit-Policy": f"{self.limit};w={self.period}",
        }
        return fields if self.allowed else fields | {"Retry-After": str(self.reset)}


class RateLimits:
    """A sliding window for each key."""

    def __init__(self, limit: str, redis_url: str) -> None:
        self._item: RateLimitItem = parse(limit)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = SlidingWindowCounterRateLimiter(_redis(redis_url)) if redis_url else None
        self._again_at = 0.0

    async def take(self, key_id: str, values: int = 1) -> Window:
        """Counts `values` for a key, at most a whole window of them, and tells where it stands."""
        cost = min(values, self._item.amount)
        if self._shared is not None and time.monotonic() >= self._again_at:
            try:
                return await self._take(self._shared, key_id, cost)
            except (RedisError, OSError, TimeoutError):
                self._again_at = time.monotonic() + PAUSE
        return await self._take(self._own, key_id, cost)

    async def _take(self, limiter: SlidingWindowCounterRateLimiter, key_id: str, cost: int) -> Window:
        allowed = await limiter.hit(self._item, key_id, cost=cost)
        reset_at, remaining = await limiter.get_window_stats(self._item, key_id)
        reset = max(math.ceil(reset_at - time.time()), 1)
        return Window(allowed, self._item.amount, max(remaining, 0), reset, self._item.get_expiry())


def _redis(url: str) -> RedisStorage:
    return RedisStorage(
        f"async+{url}",
        implementation="redispy",
        key_prefix="analyzer:rate",
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        max_connections=64,
    )
