"""Counting verdicts: in memory at once, in the store in batches that count once however often sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from analyzer.engine.detect import Verdict
from analyzer.service.registry import Assignment
from analyzer.storage.ports import Store
from analyzer.storage.records import Count, CountBatch, CountKey, StoreUnavailable


class Recorder:
    """Counts of this process on their way to the store. What waits is bounded by the kinds of verdicts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[CountKey, Count] = {}
        self._used: dict[str, datetime] = {}
        self._sending: CountBatch | None = None
        self._stored: dict[CountKey, Count] = {}
        # Two at once could take an unconfirmed batch for the one that they sent.
        self._flushing = asyncio.Lock()

    def count(self, assignment: Assignment, verdict: Verdict) -> None:
        key = CountKey(
            assignment.experiment,
            assignment.version,
            verdict.secret_type,
            verdict.risk_level,
            verdict.is_secret,
        )
        self._waiting.setdefault(key, Count()).add(Count(1, verdict.probability))

    def used(self, key_id: str, now: datetime) -> None:
        """Remembers the last use of an API key."""
        self._used[key_id] = now

    @property
    def pending(self) -> int:
        """Verdicts that the store has not confirmed."""
        sending = self._sending.counts.values() if self._sending is not None else ()
        return sum(count.verdicts for count in (*self._waiting.values(), *sending))

    async def flush(self) -> None:
        """Sends what waits; raises `StoreUnavailable` and keeps it when it was not confirmed."""
        async with self._flushing:
            while self._sending is not None or self._waiting or self._used:
                if self._sending is None:
                    self._sending = CountBatch(uuid4(), self._waiting, self._used)
                    self._waiting, self._used = {}, {}
                await self._store.add_counts(self._sending)
                self._sending = None

    async def totals(self) -> tuple[dict[CountKey, Count], bool]:
        """All counts, and whether they are the store's; else its last known ones with what waits here."""
        fresh = True
        try:
            await self.flush()
            self._stored = await self._store.counts()
        except StoreUnavailable:
            fresh = False
        sums = {key: replace(count) for key, count in self._stored.items()}
        sending = self._sending.counts if self._sending is not None else {}
        for part in (sending, self._waiting):
            for key, count in part.items():
                sums.setdefault(key, Count()).add(count)
        return sums, fresh
