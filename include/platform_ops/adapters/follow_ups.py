"""After a hotfix: where its commit is missing, and when nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from platform_ops.core.errors import NotFound
from platform_ops.core.hotfix import Hotfix, close_because
from platform_ops.core.ports import Clock, SourceRepository
from platform_ops.core.state import Phase, Rollout

from .ledger import Ledger

LOOK_EVERY = timedelta(seconds=30)
"""Pause between two looks at the repositories: nobody waits for a follow-up to close."""

Branches = Callable[[str], Sequence[str]]
"""Service → the branches that have to hold a hotfix in the end."""


class FollowUps:
    def __init__(self, ledger: Ledger, source: SourceRepository, clock: Clock, branches: Branches) -> None:
        self._ledger = ledger
        self._source = source
        self._clock = clock
        self._branches = branches
        self._looked_at: datetime | None = None

    async def look(self) -> None:
        """Close what is done, write down what is missing. Does nothing within LOOK_EVERY of the last look.

        Raises the repositories' errors; the next look tries again.
        """
        now = self._clock.now()
        if self._looked_at is not None and now < self._looked_at + LOOK_EVERY:
            return
        self._looked_at = now
        for hotfix in await self._ledger.hotfixes.unmerged():
            await self.follow(hotfix)

    async def follow(self, hotfix: Hotfix) -> tuple[str, ...]:
        """Look after one hotfix; returns the branches that do not hold it."""
        promotion = await self._ledger.promotions.get(hotfix.promotion_id)
        rollout = await self._ledger.rollouts.of_run(promotion.dag_id, promotion.run_id)
        missing = await self.missing(hotfix.service, hotfix.commit)
        if because := close_because(promotion, rollout, missing):
            await self._ledger.hotfixes.close(hotfix.promotion_id, because)
        elif missing != hotfix.missing:
            await self._ledger.hotfixes.looked(hotfix.promotion_id, missing)
        return missing

    async def missing(self, service: str, commit: str) -> tuple[str, ...]:
        """The branches that do not hold the commit. One that does not exist has nothing to take in."""
        found = []
        for branch in self._branches(service):
            try:
                head = await self._source.head(service, branch)
            except NotFound:
                continue
            if not await self._source.is_ancestor(service, commit, head):
                found.append(branch)
        return tuple(found)

    async def lacking(self, service: str, commit: str) -> tuple[Hotfix, ...]:
        """Live hotfixes with an open follow-up that the commit does not hold: it would take them away."""
        found = []
        for hotfix in await self._ledger.hotfixes.unmerged(service):
            held = await self._source.is_ancestor(service, hotfix.commit, commit)
            if not held and await self._live(hotfix):
                found.append(hotfix)
        return tuple(found)

    async def _live(self, hotfix: Hotfix) -> bool:
        promotion = await self._ledger.promotions.get(hotfix.promotion_id)
        rollout: Rollout | None = await self._ledger.rollouts.of_run(promotion.dag_id, promotion.run_id)
        return rollout is not None and rollout.phase.reached(Phase.PROMOTED)
