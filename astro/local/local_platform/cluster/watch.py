"""WATCH: the events of one kind, from a version on, as far as a selector sees them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from .errors import StatusError, expired
from .listing import ListOptions, parse_revision
from .resources import Resource
from .store import CompactedError, Event, Store, Stored

JSON = dict[str, Any]
Item = tuple[str, Stored]

BOOKMARK_SECONDS = 60.0
LAST_BOOKMARK_BEFORE_END = 2.0
_LONGEST_BACKLOG = 10_000
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class Bookmark:
    """Everything up to `revision` was sent."""

    revision: int
    ends_initial_events: bool = False


class Watch:
    """One open watch. Iterate it; it ends at its time-out or when its reader was too slow."""

    def __init__(
        self,
        store: Store,
        resource: Resource,
        namespace: str | None,
        options: ListOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises StatusError: 500 for a version that is no number, 410 for one that is gone."""
        self._bucket = store.bucket(resource.bucket)
        self._store = store
        self._namespace = namespace
        self._options = options
        self._clock = clock
        self._pending: deque[Item | Bookmark] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._from = self._start()
        seconds = options.timeout_seconds or random.randint(1800, 3600)
        self._ends = clock() + seconds
        self._bucket.listeners.append(self._hear)

    def close(self) -> None:
        """Stop listening; idempotent."""
        self._closed = True
        self._wake.set()
        if self._hear in self._bucket.listeners:
            self._bucket.listeners.remove(self._hear)

    async def __aiter__(self) -> AsyncIterator[Item | Bookmark]:
        next_bookmark = self._clock() + BOOKMARK_SECONDS
        bookmarks = self._options.bookmarks
        if bookmarks and self._ends - self._clock() > LAST_BOOKMARK_BEFORE_END:
            next_bookmark = min(next_bookmark, self._ends - LAST_BOOKMARK_BEFORE_END)
        try:
            while not self._closed:
                while self._pending:
                    yield self._pending.popleft()
                now = self._clock()
                if now >= self._ends:
                    return
                if bookmarks and now >= next_bookmark:
                    yield Bookmark(max(self._store.revision, self._from))
                    next_bookmark = now + BOOKMARK_SECONDS
                    continue
                until = min(self._ends, next_bookmark) if bookmarks else self._ends
                await self._wait(until - now)
        finally:
            self.close()

    async def _wait(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._wake.wait()
        except TimeoutError:
            return

    def _start(self) -> int:
        options = self._options
        try:
            revision = parse_revision(options.revision)
        except ValueError as error:
            raise StatusError(500, "", str(error)) from error
        if options.initial_events or (options.initial_events is None and revision == 0):
            for stored in self._bucket.ordered(self._namespace):
                if options.selects(stored.document):
                    self._pending.append(("ADDED", stored))
            if options.initial_events and options.bookmarks:
                self._pending.append(Bookmark(self._store.revision, ends_initial_events=True))
            return self._store.revision
        if revision == 0:
            return self._store.revision
        try:
            missed = self._bucket.after(revision)
        except CompactedError as error:
            raise expired(str(error)) from error
        for event in missed:
            self._append(event)
        return max(revision, self._store.revision) if revision <= self._store.revision else revision

    def _hear(self, event: Event) -> None:
        if event.revision <= self._from:
            return
        self._append(event)
        if len(self._pending) > _LONGEST_BACKLOG:
            self.close()
        self._wake.set()

    def _append(self, event: Event) -> None:
        stored = event.current
        if self._namespace is not None and stored.namespace != self._namespace:
            return
        selects = self._options.selects
        now = event.type != "DELETED" and selects(stored.document)
        before = event.previous is not None and selects(event.previous.document)
        if now:
            self._pending.append(("MODIFIED" if before else "ADDED", stored))
        elif before:
            self._pending.append(("DELETED", _left(event)))


def _left(event: Event) -> Stored:
    """What a watcher sees last: the former state, at the version of the change that took it away."""
    previous = event.previous
    if event.type == "DELETED" or previous is None:
        return event.current
    document = {**previous.document, "metadata": dict(previous.document["metadata"])}
    document["metadata"]["resourceVersion"] = str(event.revision)
    return Stored(previous.namespace, previous.name, event.revision, document, msgspec.json.encode(document))
