"""The standby: drives what nobody drives, and sees to it that people and Airflow hear of what went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from platform_ops.core.errors import OpsError
from platform_ops.core.paging import ended_badly_page
from platform_ops.core.reports import needs_report, report_of
from platform_ops.core.state import Phase, Rollout

from .driving import drive
from .ports import Ports

log = logging.getLogger(__name__)

Errand = Callable[[], Awaitable[object]]

LOOK_EVERY = timedelta(seconds=2)

TASK_LEFT = timedelta(minutes=2)
"""How long the promotion's last tasks may look at a promoted rollout before its warm window begins."""

PAGE_AFTER = timedelta(seconds=60)
"""Airflow writes the page of a failed run, with the failed task's log; after this time the standby does."""

LOOK_BACK = timedelta(days=1)
"""A rollout that ended badly longer ago is history, also for a standby that was away since."""


class Standby:
    def __init__(self, ports: Ports, holder: str, errands: Sequence[Errand] = ()) -> None:
        self._ports = ports
        self._holder = holder
        self._errands = tuple(errands)
        self._running: dict[Errand, asyncio.Task[None]] = {}
        self._driven: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._look()
                pause = asyncio.ensure_future(self._ports.clock.sleep(LOOK_EVERY))
                await asyncio.wait((stopped, pause), return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
        finally:
            stopped.cancel()
            await self._leave()

    async def _look(self) -> None:
        """One round. What fails now is tried in the next one."""
        await _attempt(self._take_over)
        await _attempt(self._page_and_report)
        self._run_errands()

    def _run_errands(self) -> None:
        """Each beside the rounds: a chat or an Airflow that does not answer must not delay a takeover."""
        for errand in self._errands:
            running = self._running.get(errand)
            if running is not None and not running.done():
                continue
            if running is not None:
                running.result()
            self._running[errand] = asyncio.create_task(_attempt(errand))

    async def _take_over(self) -> None:
        now = self._ports.clock.now()
        self._driven = {key: task for key, task in self._driven.items() if not task.done()}
        for rollout in await self._ports.ledger.rollouts.unheld(now):
            goal = goal_of_standby(rollout, now)
            if goal is not None and rollout.id not in self._driven:
                log.info("Taking over %s (%s, %s)", rollout.target.key, rollout.release.name, rollout.phase)
                work = asyncio.create_task(self._drive(rollout.id, goal), name=f"rollout {rollout.id}")
                self._driven[rollout.id] = work

    async def _drive(self, rollout_id: str, goal: Phase) -> None:
        try:
            await drive(self._ports, rollout_id, goal, self._holder)
        except OpsError:
            log.exception("Rollout %s stopped; the next round tries again", rollout_id)

    async def _page_and_report(self) -> None:
        """Put into the ledger what nobody else has: the errands bring it to the chat and to Airflow."""
        now = self._ports.clock.now()
        for rollout in await self._ports.ledger.rollouts.ended_badly(now - LOOK_BACK):
            if needs_report(rollout):
                await self._ports.ledger.reports.ask(report_of(rollout, now))
            watched = not rollout.goal.reached(Phase.WARM)
            if watched and now < rollout.phase_began + PAGE_AFTER:
                continue
            await self._ports.ledger.outbox.enqueue(ended_badly_page(rollout))

    async def _leave(self) -> None:
        begun = (*self._driven.values(), *self._running.values())
        for task in begun:
            task.cancel()
        for task in begun:
            with suppress(asyncio.CancelledError):
                await task


async def _attempt(work: Errand) -> None:
    try:
        await work()
    except OpsError as error:
        log.warning("%s: %s", getattr(work, "__name__", "errand").strip("_"), error)


def goal_of_standby(rollout: Rollout, now: datetime) -> Phase | None:
    """What the standby drives an unheld rollout to; None: leave it alone. Never beyond its goal, except that
    the warm window is the standby's own."""
    if rollout.phase is Phase.NEEDS_ATTENTION:
        return None
    if rollout.wish is not None or rollout.phase is Phase.ROLLING_BACK:
        return Phase.ROLLED_BACK
    promoted = rollout.phase.reached(Phase.PROMOTED)
    if rollout.hold is not None:
        overdue = not promoted and now >= rollout.hold.at + rollout.plan.hold_limit
        return rollout.goal if overdue else None
    if promoted:
        began = rollout.phase is Phase.WARM or now >= rollout.phase_began + TASK_LEFT
        return Phase.RECLAIMED if began else None
    if rollout.phase.reached(rollout.goal):
        forgotten = now >= rollout.phase_began + rollout.plan.park_limit
        return Phase.ROLLED_BACK if forgotten else None
    return rollout.goal
