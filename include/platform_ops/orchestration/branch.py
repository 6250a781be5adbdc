"""Development starts when its branch moves: an asset per branch, watched by a trigger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from platform_ops import wiring
from platform_ops.core.errors import OpsError

POLL_INTERVAL = timedelta(seconds=5)


def branch_asset(service: str, environment: str, branch: str) -> Asset:
    """The asset that stands for the newest commit of a branch."""
    return Asset(
        name=f"branch:{service}:{branch}",
        uri=f"platform-ops://branch/{service}/{branch}",
        watchers=[
            AssetWatcher(
                name=f"branch-{service}-{branch}",
                trigger=BranchMovedTrigger(service=service, environment=environment, branch=branch),
            )
        ],
    )


def promoted_asset(service: str, environment: str) -> Asset:
    """The asset that a successful promotion updates. Its consumers read the release from the ledger."""
    return Asset(
        name=f"promoted:{service}:{environment}", uri=f"platform-ops://promoted/{service}/{environment}"
    )


class BranchMovedTrigger(BaseEventTrigger):
    """Fires whenever the branch's head is another one than before.

    After a start it asks the ledger whether the head was taken into the environment, so that a restarted
    triggerer
    neither misses a push nor repeats one.
    """

    def __init__(self, service: str, environment: str, branch: str) -> None:
        super().__init__()
        self.service = service
        self.environment = environment
        self.branch = branch

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "service": self.service,
            "environment": self.environment,
            "branch": self.branch,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        announced: str | None = None
        while True:
            try:
                async with wiring.connect() as desk:
                    while True:
                        head = await desk.source.head(self.service, self.branch)
                        if announced is None and await self._taken(desk, head):
                            announced = head
                        if head != announced:
                            announced = head
                            yield TriggerEvent(
                                {"service": self.service, "branch": self.branch, "commit": head}
                            )
                        await asyncio.sleep(POLL_INTERVAL.total_seconds())
            except OpsError as error:
                self.log.warning("Cannot tell whether %s moved: %s", self.branch, error)
                await asyncio.sleep(POLL_INTERVAL.total_seconds())

    async def _taken(self, desk: wiring.Desk, commit: str) -> bool:
        return await desk.ledger.promotions.seen(self.service, self.environment, commit)
