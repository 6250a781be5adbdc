"""Writes Events, and counts repetitions of one event instead of writing it again, as client-go does."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime

from local_platform.cluster.controllers.api import ApiClient, ApiError, ApiUnavailableError
from local_platform.cluster.controllers.correlation import EventCorrelator, Key, Remembered
from local_platform.cluster.controllers.resources import EVENTS, Object, name_of, namespace_of

log = logging.getLogger(__name__)

MOST_WAITING = 1000


def now_text(now: float | None = None) -> str:
    """A metav1.Time: RFC 3339 with whole seconds."""
    return datetime.fromtimestamp(time.time() if now is None else now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def object_reference(item: Object, field_path: str = "") -> Object:
    metadata = item["metadata"]
    reference: Object = {
        "kind": item["kind"],
        "apiVersion": item["apiVersion"],
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    if namespace := metadata.get("namespace"):
        reference["namespace"] = namespace
    if field_path:
        reference["fieldPath"] = field_path
    return reference


class EventRecorder:
    """Events of one component, written in order by `run`; recording never waits and never fails the
    caller.
    """

    def __init__(self, client: ApiClient, component: str, host: str = "") -> None:
        self._client = client
        self._component = component
        self._host = host
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(MOST_WAITING)
        self._correlator = EventCorrelator()
        self._known: Remembered[tuple[str, int]] = Remembered()
        self._last_name = 0

    def record(self, item: Object, kind: str, reason: str, message: str, field_path: str = "") -> None:
        """Note that something happened to `item`; `kind` is Normal or Warning."""
        now = now_text()
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        event = {
            "metadata": {"name": self._name(name_of(item)), "namespace": namespace_of(item) or "default"},
            "involvedObject": object_reference(item, field_path),
            "reason": reason,
            "message": message[:1024],
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": kind,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("event dropped, %d are waiting: %s %s", MOST_WAITING, reason, message)

    def _name(self, subject: str) -> str:
        # client-go names events by the object and the time in nanoseconds, in hexadecimal.
        self._last_name = max(time.time_ns(), self._last_name + 1)
        return f"{subject[:230]}.{self._last_name:x}"

    async def run(self) -> None:
        while True:
            key, event = self._correlator.combined(await self._waiting.get())
            if not self._correlator.admits(event):
                continue
            try:
                await self._write(key, event)
            except (ApiError, ApiUnavailableError) as error:
                if isinstance(error, ApiError) and error.namespace_ends:
                    continue
                log.info(
                    "event %s of %s was not written: %s", event["reason"], event["metadata"]["name"], error
                )

    async def _write(self, key: Key, event: Object) -> None:
        namespace = event["metadata"]["namespace"]
        known = self._known.get(key)
        if known:
            name, count = known[0], known[1] + 1
            fresh = {"lastTimestamp": event["lastTimestamp"], "message": event["message"], "count": count}
            try:
                await self._client.patch(EVENTS, namespace, name, fresh)
            except ApiError as error:
                if not error.not_found:
                    raise
            else:
                self._known.remember(key, (name, count))
                return
        await self._client.create(EVENTS, namespace, event)
        self._known.remember(key, (event["metadata"]["name"], 1))
