"""The rollout controller: what orchestration, `ops` and the standby call."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from platform_ops.core.digest_holds import require_free
from platform_ops.core.errors import GateClosed, Held, NotFound
from platform_ops.core.plan import Plan
from platform_ops.core.release import Colour, Target
from platform_ops.core.state import Hold, Phase, Rollout, Wish
from platform_ops.core.warm import reclaim_refusal

from .checks import run_checks
from .driving import drive, entry_of
from .observing import Serving, serving
from .ports import NoCrashPoints, Ports
from .standby import Standby
from .views import Progress, RolloutRequest, RolloutView

__all__ = ["NoCrashPoints", "Ports", "Progress", "RolloutController", "RolloutRequest", "RolloutView"]

EnsureAdmitted = Callable[[str], Awaitable[None]]
"""Given a promotion's id; raises GateClosed."""


class RolloutController:
    """Every method may be called by any process, at any time, again."""

    def __init__(self, ports: Ports, ensure_admitted: EnsureAdmitted | None = None) -> None:
        """`ensure_admitted` refuses a promotion's rollout at its opening; None: its caller has asked."""
        self._ports = ports
        self._ensure_admitted = ensure_admitted

    async def open(self, request: RolloutRequest, *, returning: bool = False) -> str:
        """Write the rollout into the ledger; touches nothing else. Idempotent per run; returns its id.

        Raises Held while another rollout of the service there is not over; one in its warm window ends.
        GateClosed when a gate, a freeze window, an incident or staging's state refuses the release now, or
        while its digest is on hold after a rollback; `returning` to one that served is always allowed.
        """
        known = await self._ports.ledger.rollouts.of_run(request.dag_id, request.run_id)
        if known is not None:
            return known.id
        if self._ensure_admitted is not None and request.promotion_id is not None:
            await self._ensure_admitted(request.promotion_id)
        if not returning:
            await self._require_free(request)
        now = await self._serving(request.target)
        colour = now.preview
        rollout = self._new(request, colour, now.digest)
        why = f"{request.release.name} asked for by {request.requested_by}; {colour} is the preview"
        entry = entry_of(rollout, rollout.created_at, request.requested_by, "note", "Open", why)
        return (await self._ports.ledger.rollouts.insert(rollout, entry)).id

    async def drive(
        self, rollout_id: str, *, goal: Phase, holder: str, progress: Progress | None = None
    ) -> RolloutView:
        """Bring the rollout to `goal`; returns there, or where it ended (RolledBack, NeedsAttention), or
        while a person holds it after its promotion. Waits for others' leases. Safe to cancel."""
        return await drive(self._ports, rollout_id, goal, holder, progress)

    async def hold(self, rollout_id: str, *, by: str, why: str) -> None:
        """Weights stay where they are and nobody takes over, until `resume` or `request_rollback`; after the
        plan's hold limit it rolls back by itself."""
        now = self._ports.clock.now()
        rollout = await self._ports.ledger.rollouts.get(rollout_id)
        if rollout.phase is Phase.ROLLING_BACK or rollout.phase.terminal:
            return
        entry = entry_of(rollout, now, by, "note", "Hold", why)
        await self._ports.ledger.rollouts.hold(rollout_id, Hold(by, why, now), entry)

    async def resume(self, rollout_id: str, *, by: str, why: str) -> None:
        """Lift the hold; without one it does nothing."""
        now = self._ports.clock.now()
        rollout = await self._ports.ledger.rollouts.get(rollout_id)
        entry = entry_of(rollout, now, by, "note", "Resume", why)
        await self._ports.ledger.rollouts.resume(rollout_id, now, entry)

    async def request_rollback(self, rollout_id: str, *, by: str, why: str) -> None:
        """Whoever drives the rollout, or the standby, goes back next. GateClosed when it is over."""
        now = self._ports.clock.now()
        rollout = await self._ports.ledger.rollouts.get(rollout_id)
        if rollout.phase is Phase.ROLLED_BACK:
            return
        entry = entry_of(rollout, now, by, "note", "RequestRollback", why)
        await self._ports.ledger.rollouts.wish_back(rollout_id, Wish(by, why, now), entry)

    async def pre_empt(
        self, service: str, environment: str, *, by: tuple[str, str], why: str
    ) -> RolloutView | None:
        """Ask what is on its way there to go back, between two steps. `by` is the run (DAG, run id) that
        needs the place. Returns the rollout to wait for, or None when nothing is in the way: a warm window
        ends by itself when the next rollout opens.

        GateClosed while that rollout needs attention, Held when it is one of the same DAG.
        """
        dag_id, run_id = by
        rollout = await self._ports.ledger.rollouts.active(service, environment)
        if rollout is None or (rollout.dag_id, rollout.run_id) == by:
            return None
        if rollout.phase.reached(Phase.PROMOTED) and rollout.wish is None:
            return None
        if rollout.phase is Phase.NEEDS_ATTENTION:
            raise GateClosed(
                f"{rollout.release.name} needs attention in {rollout.target.key}: {rollout.reason}. "
                f"Repair one of the colours, then: ops rollback {service} {environment}"
            )
        if rollout.dag_id == dag_id:
            raise Held(f"{rollout.release.name} of {rollout.run_id} is on its way to {rollout.target.key}")
        if rollout.phase is not Phase.ROLLING_BACK:
            now = self._ports.clock.now()
            entry = entry_of(rollout, now, run_id, "note", "PreEmpt", why)
            wish = Wish(f"{dag_id} ({run_id})", why, now, between_steps=True)
            rollout = await self._ports.ledger.rollouts.wish_back(rollout.id, wish, entry)
            if rollout.wish is None:
                return None  # it was promoted in this very moment
        return RolloutView(rollout)

    async def go_back(self, rollout_id: str, *, by: str, why: str) -> None:
        """A person's rollback. GateClosed where it would leave nothing that serves."""
        rollout = await self._ports.ledger.rollouts.get(rollout_id)
        if rollout.first_release and rollout.phase.reached(Phase.PROMOTED):
            raise GateClosed(
                f"{rollout.release.name} is the first release of {rollout.target.key}: going back would "
                "leave nothing that serves; promote another release instead"
            )
        await self.request_rollback(rollout_id, by=by, why=why)

    async def abort(self, rollout_id: str, *, by: str, why: str) -> None:
        """Stop a rollout that is not promoted yet and go back. Later it is a rollback: GateClosed."""
        rollout = await self._ports.ledger.rollouts.get(rollout_id)
        if rollout.phase.reached(Phase.PROMOTED):
            raise GateClosed(
                f"{rollout.release.name} is promoted in {rollout.target.key}: nothing is left to abort; "
                "use rollback to go back to the version before"
            )
        await self.request_rollback(rollout_id, by=by, why=why)

    async def of_run(self, dag_id: str, run_id: str) -> RolloutView:
        view = await self.find_of_run(dag_id, run_id)
        if view is None:
            raise NotFound(f"Run {run_id} of {dag_id} has no rollout: the task `deploy_preview` comes first")
        return view

    async def find_of_run(self, dag_id: str, run_id: str) -> RolloutView | None:
        rollout = await self._ports.ledger.rollouts.of_run(dag_id, run_id)
        return RolloutView(rollout) if rollout else None

    async def active(self, service: str, environment: str) -> RolloutView | None:
        """The rollout that is not over there, also in its warm window."""
        rollout = await self._ports.ledger.rollouts.active(service, environment)
        return RolloutView(rollout) if rollout else None

    async def check_active(self, rollout_id: str) -> list[str]:
        """Run the checks the way users come; what is wrong, in words. Empty: the new version is well."""
        rollout = await self._ports.ledger.rollouts.get(rollout_id)
        report = await run_checks(
            self._ports.probe,
            self._ports.clock,
            rollout.target,
            rollout.colour,
            rollout.plan.checks,
            preview=False,
        )
        if report.passed:
            return []
        return list(report.failures) or ["the catalog names no checks, and no check is no pass"]

    async def serving_digest(self, target: Target) -> str | None:
        """Of the colour with most traffic; None without a route."""
        return (await self._serving(target)).digest

    async def reclaimable(self, service: str, environment: str) -> str:
        """The rollout whose old colour may go now. GateClosed before its warm window is over, with the time,
        and where there is nothing to reclaim."""
        rollout = await self._ports.ledger.rollouts.active(service, environment)
        if refusal := reclaim_refusal(rollout, f"{service} {environment}", self._ports.clock.now()):
            raise GateClosed(refusal)
        assert rollout is not None
        return rollout.id

    def now(self) -> datetime:
        return self._ports.clock.now()

    async def standby(
        self, holder: str, stop: asyncio.Event, errands: Sequence[Callable[[], Awaitable[object]]] = ()
    ) -> None:
        """The loop of `ops controller`: takes over what nobody drives, owns the warm window, and runs each
        of the `errands` in every round (pages and reports that wait in the ledger). Returns after `stop` is
        set, with every lease given back."""
        await Standby(self._ports, holder, errands).run(stop)

    async def _require_free(self, request: RolloutRequest) -> None:
        where, release = request.target, request.release
        held = await self._ports.ledger.digest_holds.standing(
            where.service, where.environment, release.digest
        )
        require_free(held, where.key, release.name)

    async def _serving(self, target: Target) -> Serving:
        return await serving(self._ports.router, self._ports.workloads, target)

    def _new(self, request: RolloutRequest, colour: Colour, previous_digest: str | None) -> Rollout:
        plan: Plan = replace(request.plan, manifests=tuple(request.manifests[colour]))
        return Rollout(
            id=str(uuid.uuid4()),
            dag_id=request.dag_id,
            run_id=request.run_id,
            promotion_id=request.promotion_id,
            target=request.target,
            release=request.release,
            colour=colour,
            previous_digest=previous_digest,
            plan=plan,
            goal=Phase.PENDING,
            requested_by=request.requested_by,
            log_url=request.log_url,
            created_at=self._ports.clock.now(),
        )
