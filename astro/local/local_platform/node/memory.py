"""Keeps containers within their memory limit: a container above it is killed and reported as OOMKilled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from local_platform.cluster.controllers.resources import Object
from local_platform.node.container import Container
from local_platform.node.processes import process_table, tree, usage
from local_platform.node.quantities import parse_quantity

log = logging.getLogger(__name__)

INTERVAL = 0.5


def memory_limit(spec: Object) -> int | None:
    """The container's memory limit in bytes."""
    text = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
    return None if text is None else int(parse_quantity(text))


class MemoryWatch:
    """Looks twice a second; a cgroup would be exact, but needs rights that an ordinary user does not have."""

    def __init__(self, containers: Callable[[], list[tuple[Object, Container]]]) -> None:
        self._containers = containers

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            limited = [
                (container, limit)
                for spec, container in self._containers()
                if container.running and (limit := memory_limit(spec)) is not None
            ]
            if limited:
                over = await asyncio.to_thread(_over_limit, limited)
                for container in over:
                    log.info("container %s is over its memory limit", container.folder)
                    container.kill_for_memory()


def _over_limit(limited: list[tuple[Container, int]]) -> list[Container]:
    table = process_table()
    result = []
    for container, limit in limited:
        first = container.current.first if container.current else None
        if first and usage(tree(first.pid, table)).memory > limit:
            result.append(container)
    return result
