"""One page per failed run: which task failed, what that did, what to do now, and the link to its log.

The page of a failed task is written to the outbox in the task's own process; the task `page` sends it and
sees it
arrive. Where a process was killed before it could write, `page` writes it from the states of the run's
tasks. A run
that fails without its tasks (Airflow's own fault) is written by the DAG-level callback; `ops controller`
sends what
nobody sent (ADR-4).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseOperator, TriggerRule, XComArg, get_current_context, task
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from platform_ops import wiring
from platform_ops.catalog import way
from platform_ops.core.errors import NotFound, OpsError
from platform_ops.core.paging import Failure, ended_badly_page, page_key, page_of
from platform_ops.core.reports import Report

from .step import Run, at_desk, run_to_end

log = logging.getLogger(__name__)

PAGE_TASK = "page"
WATCHER_TASK = "watcher"


def page_when_anything_fails(last: BaseOperator | XComArg, service: str, environment: str) -> None:
    """Add `page` and `watcher` behind the last step: it is `upstream_failed` whichever step before it failed.

    The watcher is the leaf that keeps a failed run red: `page` succeeds, and a run is as green as its leaves
    (ADR-5).
    """

    @task(task_id=PAGE_TASK, trigger_rule=TriggerRule.ONE_FAILED, retries=5)
    def page() -> None:
        """Send the page of this run and see it arrive."""
        context = get_current_context()
        run = Run.of(context, service, environment)
        failed = _failed_task(context)

        async def send(desk: wiring.Desk, run: Run) -> None:
            key = await _write(desk, run, failed)
            await desk.pager.deliver(key)

        run_to_end(at_desk(send, run))

    @task(task_id=WATCHER_TASK, trigger_rule=TriggerRule.ONE_FAILED, retries=0)
    def watcher() -> None:
        """Red when anything before it failed."""
        raise AirflowFailException("A task of this run failed; the page and its log say which and why.")

    last >> [page(), watcher()]


def page_failed_task(context: Mapping[str, Any]) -> None:
    """Task-level failure callback: write the page while the error is at hand; sending is not its business."""
    if context["ti"].task_id in (PAGE_TASK, WATCHER_TASK):
        return
    service, environment = way.place_of(context["ti"].dag_id)
    run = Run.of(context, service, environment)
    failed = Failure(context["ti"].task_id, _in_words(context.get("exception")), run.log_url)
    _write_quietly(run, failed)


def page_failed_run(context: Mapping[str, Any]) -> None:
    """DAG-level failure callback, in the dag-processor: for runs whose tasks could not write a page
    themselves."""
    run = context["dag_run"]
    service, environment = way.place_of(run.dag_id)
    link = _link(run.dag_id, run.run_id)
    about = Run(run.dag_id, run.run_id, service, environment, requested_by="airflow", log_url=link)
    _write_quietly(about, Failure("the run", context.get("reason") or "the run failed", link))


def _write_quietly(run: Run, failed: Failure) -> None:
    """A callback that cannot reach the ledger says so in its log; the task `page` writes the page again."""

    async def write(desk: wiring.Desk, run: Run) -> None:
        await _write(desk, run, failed)

    try:
        asyncio.run(at_desk(write, run))
    except OpsError:
        log.exception("The page of %s could not be written yet", run.run_id)


async def _write(desk: wiring.Desk, run: Run, failed: Failure) -> str:
    """Put the run's page into the outbox unless it is there; returns its key."""
    if report := await desk.ledger.reports.of_run(run.dag_id, run.run_id):
        return await _write_of_controller(desk, report)
    try:
        promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    except NotFound:
        release = None
    else:
        release = promotion.name
        await desk.ledger.promotions.finish(promotion.id, "failed")
    view = await desk.controller.find_of_run(run.dag_id, run.run_id)
    pages = desk.catalog.service(run.service).pages
    page = page_of(
        failed,
        key=page_key(run.service, run.environment, run.run_id),
        service=run.service,
        environment=run.environment,
        release=release,
        rollout=view.rollout if view else None,
        channel=pages.slack,
        escalation=pages.escalation,
    )
    await desk.ledger.outbox.enqueue(page)
    return page.key


async def _write_of_controller(desk: wiring.Desk, report: Report) -> str:
    """The rollback has one page, whether the standby writes it or the run that reports it."""
    page = ended_badly_page(await desk.ledger.rollouts.get(report.rollout_id))
    await desk.ledger.outbox.enqueue(page)
    return page.key


def _failed_task(context: Mapping[str, Any]) -> Failure:
    """The first failed task of the run in the order of the DAG, for a page that nobody could write before."""
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    for name in (t.task_id for t in context["dag"].topological_sort()):
        if states.get(name) == "failed":
            return Failure(name, "its process ended without a word", _link(ti.dag_id, ti.run_id, name))
    return Failure("the run", "no task says why", _link(ti.dag_id, ti.run_id))


def _link(dag_id: str, run_id: str, task_id: str | None = None) -> str:
    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/dags/{dag_id}/runs/{run_id}" + (f"/tasks/{task_id}" if task_id else "")


def _in_words(error: BaseException | str | None) -> str:
    text = str(error) if error else "no reason was given"
    return text.strip() or type(error).__name__
