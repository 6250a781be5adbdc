"""A rollback to a named release: opened, driven and proven like a rollout, without votes.

Its digest was approved and served there before, so the guard lets it pass. The version that is left stays
warm: `ops rollback` without a name goes forward to it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from platform_ops.adapters.ledger import Ledger
from platform_ops.core.digest_holds import DigestHold
from platform_ops.core.records import Promotion
from platform_ops.core.release import Target
from platform_ops.core.returning import release_to_return_to, returning
from platform_ops.core.state import Phase, Rollout

from .driving import entry_of
from .rollouts import RolloutController
from .views import RolloutRequest


@dataclass(frozen=True)
class Wanted:
    """Who wants which release back, in which run."""

    target: Target
    release: str
    by: str
    why: str
    dag_id: str
    run_id: str
    url: str = ""


@dataclass(frozen=True)
class OnTheWay:
    rollout_id: str
    goal: Phase
    """Promoted; RolledBack where the release is that of the warm colour, which takes seconds."""


class Return:
    """Every method may be called again: a run has one rollout."""

    def __init__(
        self,
        controller: RolloutController,
        ledger: Ledger,
        rollout_request: Callable[[Promotion], RolloutRequest],
    ) -> None:
        self._controller = controller
        self._ledger = ledger
        self._rollout_request = rollout_request

    async def begin(self, wanted: Wanted) -> OnTheWay:
        """GateClosed for a release that never served there; Held while another rollout is under way."""
        target = wanted.target
        known = await self._controller.find_of_run(wanted.dag_id, wanted.run_id)
        if known is not None:
            await self._controller.resume(known.rollout_id, by=wanted.by, why="the task runs again")
            return OnTheWay(known.rollout_id, Phase.PROMOTED)
        served = await self._ledger.promotions.verified(target.service, target.environment, 200)
        present = await self._controller.serving_digest(target)
        release = release_to_return_to(target, wanted.release, served, present)
        warm = await self._controller.active(target.service, target.environment)
        if warm is not None and warm.rollout.previous_digest == release.digest:
            await self._controller.go_back(warm.rollout_id, by=wanted.by, why=wanted.why)
            return OnTheWay(warm.rollout_id, Phase.ROLLED_BACK)
        promotion = await self._ledger.promotions.open(
            dag_id=wanted.dag_id,
            run_id=wanted.run_id,
            service=target.service,
            environment=target.environment,
            commit=release.commit,
            version=release.version,
            digest=release.digest,
            requested_by=wanted.by,
            url=wanted.url,
        )
        request = self._rollout_request(promotion)
        request = replace(request, plan=returning(request.plan), requested_by=f"{wanted.by}: {wanted.why}")
        return OnTheWay(await self._controller.open(request, returning=True), Phase.PROMOTED)

    async def prove(self, rollout_id: str) -> list[str]:
        """What is wrong with the release on the users' way, in words; then it is asked to go back. Empty: it
        is proven, its promotion counts, and the release that was left is on hold."""
        failures = await self._controller.check_active(rollout_id)
        rollout = await self._ledger.rollouts.get(rollout_id)
        if failures:
            why = "; ".join(failures)
            await self._controller.request_rollback(rollout_id, by="rollback", why=why)
            return failures
        if rollout.promotion_id is not None:
            await self._ledger.promotions.finish(rollout.promotion_id, "promoted")
        await self._leave(rollout)
        return []

    async def _leave(self, rollout: Rollout) -> None:
        """Hold the digest that a person decided against."""
        if rollout.previous_digest is None:
            return
        why = f"{rollout.release.name} was asked for instead of {rollout.previous_digest}"
        now = self._controller.now()
        entry = entry_of(rollout, now, rollout.requested_by, "note", "LeaveRelease", why)
        entry = replace(entry, detail={**entry.detail, "left": rollout.previous_digest})
        where, by = rollout.target, rollout.requested_by
        hold = DigestHold(
            where.service, where.environment, rollout.previous_digest, True, by, why, now, rollout.id
        )
        await self._ledger.digest_holds.hold(hold, entry)
