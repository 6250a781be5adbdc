"""Objects in memory, written through to SQLite before anybody is told that they are stored.

One revision counts every write of every kind, as etcd's does. Each bucket (one kind) keeps a bounded
history from which watches are replayed and older states are reconstructed; a restart starts the history
anew, so a client that asks for something older gets `Expired` and lists again.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

JSON = dict[str, Any]
Key = tuple[str, str]
EventType = Literal["ADDED", "MODIFIED", "DELETED"]

HISTORY = 4096

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class CompactedError(Exception):
    """The revision asked for is older than the history; `oldest` is the first that can still be served."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")
        self.asked = asked
        self.oldest = oldest


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object. `document` is never changed; `body` is its JSON."""

    namespace: str
    name: str
    revision: int
    document: JSON
    body: bytes

    def copy(self) -> JSON:
        """A document that the caller may change."""
        return _decoder.decode(self.body)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Event:
    """A change. `current` is the state after it (for DELETED the last state with the deletion's revision)."""

    revision: int
    type: EventType
    current: Stored
    previous: Stored | None


Listener = Callable[[Event], None]


class Bucket:
    """All objects of one kind."""

    def __init__(self, since: int, history: int = HISTORY) -> None:
        self.objects: dict[Key, Stored] = {}
        self.since = since  # the state before this revision is not known any more
        self.events: deque[Event] = deque()
        self.listeners: list[Listener] = []
        self._limit = history
        self._order: list[Key] | None = None

    def ordered(self, namespace: str | None) -> Iterator[Stored]:
        """Objects by namespace and name, the order of keys in etcd."""
        if self._order is None:
            self._order = sorted(self.objects)
        for key in self._order:
            if namespace is None or key[0] == namespace:
                yield self.objects[key]

    def at(self, revision: int) -> dict[Key, Stored]:
        """The objects as they were at `revision`; CompactedError when history does not reach back."""
        if revision < self.since:
            raise CompactedError(revision, self.since)
        objects = dict(self.objects)
        for event in reversed(self.events):
            if event.revision <= revision:
                break
            key = (event.current.namespace, event.current.name)
            if event.previous is None:
                objects.pop(key, None)
            else:
                objects[key] = event.previous
        return objects

    def after(self, revision: int) -> list[Event]:
        """Events later than `revision`; raises CompactedError when some of them are gone."""
        if revision < self.since:
            raise CompactedError(revision, self.since)
        return [event for event in self.events if event.revision > revision]

    def record(self, event: Event) -> None:
        key = (event.current.namespace, event.current.name)
        if event.type == "DELETED":
            del self.objects[key]
            self._order = None
        else:
            if key not in self.objects:
                self._order = None
            self.objects[key] = event.current
        self.events.append(event)
        if len(self.events) > self._limit:
            self.since = self.events.popleft().revision
        for listener in tuple(self.listeners):
            listener(event)


class Store:
    """The database of the API server. All methods are synchronous and belong to one event loop."""

    def __init__(self, path: Path, *, history: int = HISTORY) -> None:
        self._history = history
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        # WAL with NORMAL survives the death of the process, which is what a development double promises.
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(
            "CREATE TABLE IF NOT EXISTS objects (bucket TEXT, namespace TEXT, name TEXT, revision INTEGER,"
            " body BLOB, PRIMARY KEY (bucket, namespace, name)) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER);"
            "INSERT OR IGNORE INTO counter VALUES (1, 1);"
        )
        self.revision: int = self._database.execute("SELECT revision FROM counter").fetchone()[0]
        self._opened_at = self.revision
        self._buckets: dict[str, Bucket] = {}
        rows = self._database.execute("SELECT bucket, namespace, name, revision, body FROM objects")
        for bucket, namespace, name, revision, body in rows:
            stored = Stored(namespace, name, revision, _decoder.decode(body), body)
            self.bucket(bucket).objects[(namespace, name)] = stored

    def close(self) -> None:
        self._database.close()

    def bucket(self, name: str) -> Bucket:
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = Bucket(self._opened_at, self._history)
        return found

    def get(self, bucket: str, namespace: str, name: str) -> Stored | None:
        return self.bucket(bucket).objects.get((namespace, name))

    def put(self, bucket: str, document: JSON) -> Stored:
        """Store a new version of `document`, which is the store's own from then on."""
        metadata = document["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        target = self.bucket(bucket)
        previous = target.objects.get((namespace, name))
        stored = self._next_version(namespace, name, document)
        self._write(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
            (bucket, namespace, name, stored.revision, stored.body),
            stored.revision,
        )
        kind: EventType = "ADDED" if previous is None else "MODIFIED"
        target.record(Event(stored.revision, kind, stored, previous))
        return stored

    def delete(self, bucket: str, namespace: str, name: str, final: JSON | None = None) -> Stored:
        """Remove an object; the returned last version carries the revision of the deletion."""
        target = self.bucket(bucket)
        previous = target.objects[(namespace, name)]
        stored = self._next_version(namespace, name, final if final is not None else previous.copy())
        self._write(
            "DELETE FROM objects WHERE bucket = ? AND namespace = ? AND name = ?",
            (bucket, namespace, name),
            stored.revision,
        )
        target.record(Event(stored.revision, "DELETED", stored, previous))
        return stored

    def _next_version(self, namespace: str, name: str, document: JSON) -> Stored:
        revision = self.revision + 1
        document["metadata"]["resourceVersion"] = str(revision)
        return Stored(namespace, name, revision, document, _encoder.encode(document))

    def _write(self, statement: str, values: tuple[object, ...], revision: int) -> None:
        try:
            self._database.execute("BEGIN")
            self._database.execute(statement, values)
            self._database.execute("UPDATE counter SET revision = ?", (revision,))
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self.revision = revision
