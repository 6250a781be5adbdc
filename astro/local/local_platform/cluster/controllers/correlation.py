"""Which Events become one: the rules of client-go's EventCorrelator, with its defaults.

The same Event again raises a count. Ten and more of a reason that differ only in their message become one
"combined" Event. A source that goes on about one object is cut to 25 Events, and one more every five minutes.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from local_platform.cluster.controllers.resources import Object

MOST_REMEMBERED = 4096
MOST_ALIKE = 10
ALIKE_SECONDS = 600.0
BURST = 25
REFILL_SECONDS = 300.0
COMBINED = "(combined from similar events): "

Key = tuple[str, ...]
V = TypeVar("V")


class Remembered(OrderedDict[Key, V], Generic[V]):
    """The newest entries; older ones are forgotten."""

    def remember(self, key: Key, value: V) -> None:
        self[key] = value
        self.move_to_end(key)
        while len(self) > MOST_REMEMBERED:
            self.popitem(last=False)


@dataclass
class _Alike:
    """Events of one object and reason: their messages, and when the last one came."""

    last: float
    messages: set[str] = field(default_factory=set)


@dataclass
class _Bucket:
    tokens: float
    at: float


class EventCorrelator:
    """Of one component. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._alike: Remembered[_Alike] = Remembered()
        self._buckets: Remembered[_Bucket] = Remembered()

    def combined(self, event: Object) -> tuple[Key, Object]:
        """The key under which repetitions are counted, and the Event as it is to be written."""
        key = _alike_key(event)
        now = self._clock()
        alike = self._alike.get(key)
        if alike is None or now - alike.last > ALIKE_SECONDS:
            alike = _Alike(now)
        alike.last = now
        alike.messages.add(event["message"])
        self._alike.remember(key, alike)
        if len(alike.messages) < MOST_ALIKE:
            return (*key, event["involvedObject"].get("fieldPath", ""), event["message"]), event
        alike.messages.pop()
        anonymous = {"reportingComponent": "", "reportingInstance": ""}
        return key, {**event, **anonymous, "message": COMBINED + event["message"]}

    def admits(self, event: Object) -> bool:
        """Whether the source has not spent what it may write about this object."""
        key = _object_key(event)
        now = self._clock()
        bucket = self._buckets.get(key) or _Bucket(BURST, now)
        tokens = min(BURST, bucket.tokens + (now - bucket.at) / REFILL_SECONDS)
        admitted = tokens >= 1
        self._buckets.remember(key, _Bucket(tokens - admitted, now))
        return admitted


def _object_key(event: Object) -> Key:
    item, source = event["involvedObject"], event["source"]
    return (
        source.get("component", ""),
        source.get("host", ""),
        *(item.get(name, "") for name in ("kind", "namespace", "name", "uid", "apiVersion")),
    )


def _alike_key(event: Object) -> Key:
    return (*_object_key(event), event["type"], event["reason"])
