"""Startup, liveness and readiness probes of one running container."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from local_platform.cluster.controllers.resources import Object
from local_platform.node.actions import Actions, Outcome
from local_platform.node.container import Attempt

KINDS = {"startup": "startupProbe", "liveness": "livenessProbe", "readiness": "readinessProbe"}


@dataclass
class Verdicts:
    """What the probes found. Without a probe a container is started, alive and ready as soon as it runs."""

    started: bool
    ready: bool
    healthy: bool = True
    failed_probe: str = ""


class Prober:
    """Probes one attempt until stopped. `on_change` tells that a verdict changed, `on_failure` each failed
    probe; `counted` is by kind and result, in the kubelet's words.
    """

    def __init__(
        self,
        container: Object,
        attempt: Attempt,
        actions: Actions,
        on_change: Callable[[], None],
        on_failure: Callable[[str, str], None],
        counted: Counter[tuple[str, str]],
    ) -> None:
        self.verdicts = Verdicts("startupProbe" not in container, "readinessProbe" not in container)
        self.attempt = attempt
        self._container = container
        self._actions = actions
        self._on_change = on_change
        self._on_failure = on_failure
        self._counted = counted
        self._started = asyncio.Event()
        if self.verdicts.started:
            self._started.set()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._follow(kind, container[field]))
            for kind, field in KINDS.items()
            if field in container
        ]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _follow(self, kind: str, probe: Object) -> None:
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        if kind != "startup":
            await self._started.wait()
        good = bad = 0
        while True:
            outcome = await self._probe(probe)
            self._counted[kind.capitalize(), "successful" if outcome.success else "failed"] += 1
            good, bad = (good + 1, 0) if outcome.success else (0, bad + 1)
            if not outcome.success:
                self._on_failure(kind, outcome.message)
            if good >= probe.get("successThreshold", 1):
                self._conclude(kind, True)
                if kind == "startup":
                    return
            elif bad >= probe.get("failureThreshold", 3):
                self._conclude(kind, False)
                if kind != "readiness":
                    return
            await asyncio.sleep(probe.get("periodSeconds", 10))

    async def _probe(self, probe: Object) -> Outcome:
        try:
            return await self._actions.run(
                probe, self._container, self.attempt, probe.get("timeoutSeconds", 1)
            )
        except LookupError as error:
            return Outcome(False, str(error.args[0]))

    def _conclude(self, kind: str, success: bool) -> None:
        before = (self.verdicts.started, self.verdicts.ready, self.verdicts.healthy)
        if kind == "readiness":
            self.verdicts.ready = success
        elif not success:
            self.verdicts.healthy = False
            self.verdicts.failed_probe = kind
        elif kind == "startup":
            self.verdicts.started = True
            self._started.set()
        if before != (self.verdicts.started, self.verdicts.ready, self.verdicts.healthy):
            self._on_change()
