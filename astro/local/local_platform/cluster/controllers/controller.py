"""What controllers share: informers, a queue of names to look at, and retries."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from local_platform.cluster.controllers.api import ApiClient, ApiError, ApiUnavailableError
from local_platform.cluster.controllers.informer import Informer
from local_platform.cluster.controllers.recorder import EventRecorder
from local_platform.cluster.controllers.resources import Object, Resource, controller_of, key_of, namespace_of

log = logging.getLogger(__name__)

FIRST_RETRY = 0.05
LONGEST_RETRY = 10.0

Key = tuple[str, str]


class Context:
    """One client, and one informer per kind that all controllers share."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self._informers: dict[Resource, Informer] = {}

    def informer(self, resource: Resource) -> Informer:
        return self._informers.setdefault(resource, Informer(self.client, resource))

    @property
    def informers(self) -> list[Informer]:
        return list(self._informers.values())


class WorkQueue:
    """Keys to look at, each at most once at a time; a key that failed comes back later and later."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._pending: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def add(self, key: Key) -> None:
        if key not in self._pending:
            self._pending.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Look again in `seconds`; the earliest of several wishes counts."""
        loop = asyncio.get_running_loop()
        known = self._timers.get(key)
        if (
            known
            and not known.cancelled()
            and known.when() <= loop.time() + seconds
            and known.when() > loop.time()
        ):
            return
        if known:
            known.cancel()
        self._timers[key] = loop.call_later(max(0.0, seconds), self.add, key)

    async def get(self) -> Key:
        key = await self._ready.get()
        self._pending.discard(key)
        return key

    def succeeded(self, key: Key) -> None:
        self._failures.pop(key, None)

    def failed(self, key: Key) -> None:
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        self.add_after(key, min(FIRST_RETRY * 2**count, LONGEST_RETRY))


class Controller(ABC):
    """Brings objects of one kind from what is to what should be, one key at a time."""

    component = ""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.client = context.client.named("kube-controller-manager")
        self.recorder = EventRecorder(self.client, self.component)
        self.queue = WorkQueue()

    @abstractmethod
    async def reconcile(self, namespace: str, name: str) -> None:
        """One level-triggered look; raising an API error means: again later."""

    def watch(self, resource: Resource, to_keys: Callable[[Object], list[Key]] | None = None) -> Informer:
        """Queue the keys that `to_keys` finds (by default the object's own) whenever such an object
        changes.
        """
        informer = self.context.informer(resource)
        find = to_keys or (lambda item: [key_of(item)])
        informer.listen(lambda _kind, item: self._add_all(find(item)))
        return informer

    def _add_all(self, keys: list[Key]) -> None:
        for key in keys:
            self.queue.add(key)

    async def run(self) -> None:
        """Work for ever, once the informers have seen everything."""
        for informer in self.context.informers:
            await informer.synced.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.recorder.run())
            group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self.reconcile(*key)
            except ApiUnavailableError as error:
                log.info("%s %s: %s", self.component, "/".join(key), error)
                self.queue.failed(key)
            except ApiError as error:
                if error.namespace_ends:
                    self.queue.succeeded(key)
                    continue
                # Conflicts are the usual sign that the cache is a moment behind.
                level = logging.DEBUG if error.conflict else logging.WARNING
                log.log(level, "%s %s: %s", self.component, "/".join(key), error)
                self.queue.failed(key)
            except Exception:
                log.exception("%s %s failed and is tried again", self.component, "/".join(key))
                self.queue.failed(key)
            else:
                self.queue.succeeded(key)


def owner_keys(kind: str) -> Callable[[Object], list[Key]]:
    """The key of an object's controller when that is of `kind`."""

    def find(item: Object) -> list[Key]:
        owner = controller_of(item)
        return [(namespace_of(item), owner["name"])] if owner and owner["kind"] == kind else []

    return find
