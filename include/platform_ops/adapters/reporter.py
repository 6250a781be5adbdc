"""Reports on their way: ledger → Airflow. Whoever repeats it, each is one run."""

from __future__ import annotations

import logging

from platform_ops.core.errors import OpsError
from platform_ops.core.ports import Clock, Runs
from platform_ops.core.reports import Report

from .ledger import Ledger
from .pauses import Pauses

log = logging.getLogger(__name__)


class Reporter:
    def __init__(self, ledger: Ledger, runs: Runs, clock: Clock) -> None:
        self._ledger = ledger
        self._runs = runs
        self._pauses = Pauses(clock)

    async def start_waiting(self) -> tuple[Report, ...]:
        """Start what Airflow has not taken yet; returns what still waits: the ledger holds the error.

        Raises Unavailable when the ledger is away.
        """
        waiting = await self._ledger.reports.waiting()
        return tuple([report for report in waiting if not await self._started(report)])

    async def _started(self, report: Report) -> bool:
        if not self._pauses.over(report.rollout_id):
            return False
        try:
            await self._runs.start(report.dag_id, report.run_id)
        except OpsError as error:
            log.warning("Airflow has not taken %s of %s yet: %s", report.run_id, report.dag_id, error)
            self._pauses.failed(report.rollout_id)
            await self._ledger.reports.mark_failed(report.rollout_id, str(error))
            return False
        self._pauses.succeeded(report.rollout_id)
        await self._ledger.reports.mark_started(report.rollout_id)
        return True
