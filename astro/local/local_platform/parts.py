"""Every part of the local platform, in the order in which `status` shows them."""

from __future__ import annotations

from collections.abc import Sequence

from local_platform.errors import PlatformError
from local_platform.services.airflow import (
    AirflowApi,
    AirflowDagProcessor,
    AirflowDatabase,
    AirflowScheduler,
    AirflowTriggerer,
)
from local_platform.services.cluster import Cluster
from local_platform.services.controller import Controller, Ledger
from local_platform.services.gateway import Gateway
from local_platform.services.git import Git
from local_platform.services.images import Images
from local_platform.services.inbox import Inbox
from local_platform.services.node import Node
from local_platform.services.object_store import ObjectStore
from local_platform.services.objects import Objects
from local_platform.services.part import Part
from local_platform.services.postgres import Postgres
from local_platform.services.prometheus import PodTargets, Prometheus
from local_platform.services.registry import Registry
from local_platform.services.valkey import Valkey

PARTS: tuple[type[Part], ...] = (
    Postgres,
    Valkey,
    Registry,
    ObjectStore,
    Git,
    Inbox,
    Images,
    Cluster,
    Objects,
    Node,
    Gateway,
    PodTargets,
    Prometheus,
    Ledger,
    AirflowDatabase,
    AirflowApi,
    AirflowScheduler,
    AirflowDagProcessor,
    AirflowTriggerer,
    Controller,
)

# Settings name these whether or not the part runs in this platform.
PORTS = tuple(
    dict.fromkeys(
        [
            *(port for part in PARTS for port in part.ports),
            "cluster",
            "node",
            "gateway",
            "inbox",
            "inbox-smtp",
        ]
    )
)


def needed(names: Sequence[str]) -> tuple[type[Part], ...]:
    """The named parts and everything below them, in starting order; all parts when none is named.

    Raises:
        PlatformError: a name that no part has.
    """
    by_name = {part.name: part for part in PARTS}
    waiting = list(names) or list(by_name)
    chosen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in by_name:
            raise PlatformError(f"no part is called {name}; there are {', '.join(by_name)}")
        if name not in chosen:
            chosen.add(name)
            waiting.extend(by_name[name].needs)
    return tuple(part for part in PARTS if part.name in chosen)
