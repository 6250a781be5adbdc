"""The rollout controller inside Airflow: one deferrable operator, one trigger in the triggerer.

Waiting costs no worker. Whatever dies here, the lease runs out and `ops controller` or the restarted
trigger goes
on from the ledger; a person's mark or clear of the task puts the rollout on hold (design, section 5).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from time import monotonic
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from platform_ops import wiring
from platform_ops.catalog import way
from platform_ops.controller.returning import OnTheWay, Wanted
from platform_ops.controller.views import RolloutView
from platform_ops.core.errors import GateClosed
from platform_ops.core.hotfix import require_fixes
from platform_ops.core.records import Promotion
from platform_ops.core.rollout import Phase
from platform_ops.core.state import Rollout

from .step import Run, at_desk, run_to_end

log = logging.getLogger(__name__)

PARKED = timedelta(seconds=3)
"""A task is resumed so long after it was parked at the earliest: one that is resumed before the scheduler has
heard of its parking is ended by that late word (apache/airflow #71579)."""


class RolloutOperator(BaseOperator):
    """Drive the run's rollout until it reaches the phase `until`; fail when it ends anywhere else.

    Opens the rollout if the run has none yet, lifts a hold that killing an earlier try left behind, and
    defers.
    """

    def __init__(self, *, service: str, environment: str, until: Phase, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.environment = environment
        self.until = until

    def execute(self, context: Mapping[str, Any]) -> None:
        run = Run.of(context, self.service, self.environment)
        rollout_id = run_to_end(at_desk(_open_rollout, run))
        view = run_to_end(at_desk(_view, run))
        if view.rollout.settled(self.until):
            # A try before this one got it there: there is nothing to wait for.
            self._conclude(view)
        else:
            self._defer_until(self.until, rollout_id)

    def _defer_until(self, phase: Phase, rollout_id: str, method_name: str = "execute_complete") -> None:
        self.defer(trigger=RolloutTrigger(rollout_id=rollout_id, until=phase.value), method_name=method_name)

    def execute_complete(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """The event only wakes us: what counts is what the ledger says now."""
        run = Run.of(context, self.service, self.environment)
        self._conclude(run_to_end(at_desk(_view, run)))

    def _conclude(self, view: RolloutView) -> None:
        if view.phase in (Phase.ROLLED_BACK, Phase.NEEDS_ATTENTION):
            raise AirflowFailException(f"{view.phase.value}: {view.reason}")
        if not view.reached(self.until):
            raise AirflowFailException(f"The rollout stopped in {view.phase.value}: {view.reason}")
        self.log.info("%s reached; traffic %s", view.phase.value, view.weights)


class VerifyActiveOperator(RolloutOperator):
    """Check the active version from outside; when it fails, roll back, prove the old version, and fail."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(until=Phase.ROLLED_BACK, **kwargs)

    def execute(self, context: Mapping[str, Any]) -> None:
        run = Run.of(context, self.service, self.environment)
        rollout_id = run_to_end(at_desk(_roll_back_unless_verified, run))
        if rollout_id is not None:
            self._defer_until(Phase.ROLLED_BACK, rollout_id)


class RollBackOperator(RolloutOperator):
    """Take the traffic back from the release that was promoted last, or to the earlier release that is typed;
    done when the version that then serves is proven.

    In a run that the controller started for its own rollback it only tells of that one, and fails: which run
    that is, the ledger says, not the run's parameters (ADR-9).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(until=Phase.ROLLED_BACK, **kwargs)

    def execute(self, context: Mapping[str, Any]) -> None:
        run = Run.of(context, self.service, self.environment)
        own = run_to_end(at_desk(_rollback_of_controller, run))
        if own is not None:
            raise AirflowFailException(_told(own))
        if not run.params.get("to"):
            self._defer_until(Phase.ROLLED_BACK, run_to_end(at_desk(_ask_to_go_back, run)))
        way = run_to_end(at_desk(_begin_return, run))
        back = way.goal is Phase.ROLLED_BACK
        self._defer_until(way.goal, way.rollout_id, "execute_complete" if back else "returned")

    def returned(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """The named release has the traffic: done when its checks pass on the users' way, too."""
        run = Run.of(context, self.service, self.environment)
        view = run_to_end(at_desk(_view, run))
        if view.phase in (Phase.ROLLED_BACK, Phase.NEEDS_ATTENTION):
            raise AirflowFailException(f"Not gone back: {view.phase.value}: {view.reason}")
        failures = run_to_end(at_desk(_prove_return, run))
        if failures:
            self.log.error("The release fails its checks: %s", "; ".join(failures))
            self._defer_until(Phase.ROLLED_BACK, view.rollout_id, "returned")
        self.log.info("%s serves again and passed its checks", view.rollout.release.name)

    def execute_complete(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        if event["phase"] != Phase.ROLLED_BACK:
            raise AirflowFailException(f"Not rolled back, but {event['phase']}: {event['reason']}")
        self.log.info("The old version serves and passed its checks")


class ReclaimOperator(RolloutOperator):
    """Remove the old colour after its warm window; refused before that, with the time."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(until=Phase.RECLAIMED, **kwargs)

    def execute(self, context: Mapping[str, Any]) -> None:
        run = Run.of(context, self.service, self.environment)
        self._defer_until(Phase.RECLAIMED, run_to_end(at_desk(_reclaimable, run)))

    def execute_complete(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        if event["phase"] != Phase.RECLAIMED:
            raise AirflowFailException(f"Not reclaimed, but {event['phase']}: {event['reason']}")
        self.log.info("Nothing of the old colour is left")


async def _reclaimable(desk: wiring.Desk, run: Run) -> str:
    return await desk.controller.reclaimable(run.service, run.environment)


async def _begin_return(desk: wiring.Desk, run: Run) -> OnTheWay:
    target = desk.catalog.target(run.service, run.environment)
    why = run.params.get("reason") or "a person asked for it"
    to = run.params["to"]
    return await desk.returns.begin(
        Wanted(target, to, run.requested_by, why, run.dag_id, run.run_id, run.log_url)
    )


async def _prove_return(desk: wiring.Desk, run: Run) -> list[str]:
    view = await desk.controller.of_run(run.dag_id, run.run_id)
    return await desk.returns.prove(view.rollout_id)


async def _rollback_of_controller(desk: wiring.Desk, run: Run) -> Rollout | None:
    """What the run is the report of; None: a person started it."""
    report = await desk.ledger.reports.of_run(run.dag_id, run.run_id)
    return await desk.ledger.rollouts.get(report.rollout_id) if report else None


def _told(rollout: Rollout) -> str:
    return (
        f"The controller went back from {rollout.release.name} in its warm window, and that ended in "
        f"{rollout.phase.value}: {rollout.reason}. It was promoted by {rollout.run_id} of {rollout.dag_id}."
    )


async def _ask_to_go_back(desk: wiring.Desk, run: Run) -> str:
    view = await desk.controller.active(run.service, run.environment)
    if view is None:
        raise GateClosed(
            f"{run.service} has no rollout or warm window in {run.environment}: "
            "name an earlier release instead, in the field To."
        )
    why = run.params.get("reason") or "a person asked for it"
    await desk.controller.go_back(view.rollout_id, by=run.requested_by, why=why)
    return view.rollout_id


async def _open_rollout(desk: wiring.Desk, run: Run) -> str:
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    if await desk.controller.find_of_run(run.dag_id, run.run_id) is None:
        await require_approval(desk, promotion)
        await require_live_fixes(desk, promotion.service, promotion.environment, promotion.commit)
    rollout_id = await desk.controller.open(desk.rollout_request(promotion))
    await desk.controller.resume(rollout_id, by=run.requested_by, why="the task runs again")
    return rollout_id


async def require_approval(desk: wiring.Desk, promotion: Promotion) -> None:
    """NotApproved before anything is touched for a release that the router would refuse: opening its rollout
    ends a warm window, and a hotfix stops whoever is on the way."""
    target = desk.catalog.target(promotion.service, promotion.environment)
    await desk.approvals.ensure_allowed(target, promotion.release.digest)


async def require_live_fixes(desk: wiring.Desk, service: str, environment: str, commit: str) -> None:
    """GateClosed for a commit that would take a live hotfix away. Asks the repository only while there is
    one whose follow-up is open."""
    if way.starts_by_hand(environment):
        require_fixes(commit[:8], await desk.follow_ups.lacking(service, commit))


async def _view(desk: wiring.Desk, run: Run) -> RolloutView:
    return await desk.controller.of_run(run.dag_id, run.run_id)


async def _roll_back_unless_verified(desk: wiring.Desk, run: Run) -> str | None:
    """The id of the rollout that now has to go back; None when the active version passed."""
    view = await desk.controller.of_run(run.dag_id, run.run_id)
    failures = await desk.controller.check_active(view.rollout_id)
    if not failures:
        return None
    await desk.controller.request_rollback(view.rollout_id, by="verify_active", why="; ".join(failures))
    return view.rollout_id


class RolloutTrigger(BaseTrigger):
    """Runs the controller for one rollout in the triggerer's event loop."""

    def __init__(self, rollout_id: str, until: str) -> None:
        super().__init__()
        self.rollout_id = rollout_id
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "rollout_id": self.rollout_id,
            "until": self.until,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        earliest = monotonic() + PARKED.total_seconds()
        async with wiring.connect_shared() as desk:
            view = await desk.controller.drive(
                self.rollout_id, goal=Phase(self.until), holder=_holder(), progress=self._log_progress
            )
        await asyncio.sleep(max(0.0, earliest - monotonic()))
        yield TriggerEvent({"phase": view.phase.value, "reason": view.reason})

    def _log_progress(self, view: RolloutView) -> None:
        self.log.info("%s", view)

    async def on_kill(self) -> None:
        """A person marked or cleared the task: weights stay where they are until somebody decides."""
        async with wiring.connect() as desk:
            await desk.controller.hold(
                self.rollout_id, by="a person in the UI", why="the task was marked or cleared"
            )


def _holder() -> str:
    return f"triggerer@{socket.gethostname()}:{os.getpid()}"
