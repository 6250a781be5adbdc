"""Everything one running API server consists of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .auth import Authenticator, ServiceAccountTokens, User
from .node_agents import NodeAgents
from .rbac import Authorizer
from .registry import Registry
from .resources import Resources
from .store import Store

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Settings:
    """How the server is run. `hosts` are the names under which it may be asked (guards against DNS
    rebinding).
    """

    data: Path
    users: Mapping[str, User]
    certificate: str = ""  # PEM of the serving certificate, published as kube-root-ca.crt
    node_token: str = ""
    hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost", "kubernetes.default.svc"})
    install_gateway_api: bool = True
    address: str = "127.0.0.1:6443"
    clock: Clock = field(default=utc_now)


class ClusterState:
    """The parts that routes work with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = settings.clock
        self.store = Store(settings.data / "objects.sqlite3")
        self.resources = Resources()
        self.registry = Registry(self.store, self.resources)
        self.accounts = ServiceAccountTokens(settings.data / "service-account.key", self._account_exists)
        self.authenticator = Authenticator(settings.users, self.accounts)
        self.authorizer = Authorizer(self.store)
        self._work: set[asyncio.Task[None]] = set()
        self.agents = NodeAgents(self.store, settings.node_token)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work of the server's own controllers beside the requests."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def close(self) -> None:
        """End own work, connections to nodes and the database."""
        for task in tuple(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self.agents.close()
        self.store.close()

    def _account_exists(self, namespace: str, name: str, uid: str) -> bool:
        found = self.store.get("serviceaccounts", namespace, name)
        return found is not None and found.document["metadata"]["uid"] == uid
