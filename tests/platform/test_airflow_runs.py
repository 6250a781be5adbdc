"""Promotions in the running Airflow: processes are killed in mid-rollout, tasks are marked by hand."""

from __future__ import annotations

import asyncio

import pytest
from own_platform import OwnPlatform
from promoting import (
    DAG,
    GATES_PASSED,
    VOTES,
    approve,
    asked,
    at_step,
    held_by,
    opened,
    paged,
    promoted,
    shifts_in_words,
    until_ended,
    verified_in_staging,
)
from releasing import SERVICE, Place, done, page_ids, shares, until
from task_processes import stopped, task_instances

from local_platform.demo.people import DagRun, Desk
from platform_ops.core.paging import page_key
from platform_ops.core.release import Weights

pytestmark = pytest.mark.platform


async def test_a_rollout_whose_worker_and_triggerer_are_killed_is_taken_over_and_its_run_ends_green(
    airflow_platform: OwnPlatform, airflow: Desk, place: Place
) -> None:
    """Scenario D13. The worker dies when `deploy_preview` has opened the rollout and told nobody."""
    await place.serving()
    new = await verified_in_staging(airflow_platform, place)
    with place.watched() as seen:
        async with place.traffic(rate=50) as traffic:
            run = await airflow.trigger("developer", DAG)
            await approve(airflow, run)
            async with stopped(airflow_platform, airflow, run, "deploy_preview") as preview:
                await preview.run_until(lambda: opened(place, run))
                preview.kill()
            await until("25 % of the traffic is shifted", lambda: at_step(place, run, 1))
            for part in ("airflow-triggerer", "airflow-scheduler"):
                await asyncio.to_thread(airflow_platform.kill, part)
            await until("the standby holds the rollout", lambda: held_by(place, run, "standby-1"))
            await until("the standby has promoted it", lambda: promoted(place, run), limit=150)
            await asyncio.to_thread(airflow_platform.up, "airflow-triggerer", "airflow-scheduler")
            run = await until_ended(airflow, run)
    assert run.state == "success"
    assert (await task_instances(airflow, run))["deploy_preview"]["try_number"] == 2
    rollout = (await place.desk.controller.of_run(run.dag_id, run.run_id)).rollout
    assert rollout.release == new
    assert shares(seen, rollout.colour) == [0, 5, 25, 50, 100]
    assert traffic.failed == []
    assert set(await place.colours()) == {f"{rollout.colour} 200"}
    journal = await place.journal(rollout.id)
    shifted = [(entry.why, entry.actor.partition("@")[0]) for entry in done(journal, "Shift")]
    assert [why for why, _ in shifted] == shifts_in_words(rollout.colour)
    assert [actor for _, actor in shifted] == ["triggerer", "triggerer", "standby-1", "standby-1"]
    once = ("Open", "Deploy", "Verify")
    assert [entry.what for entry in journal if entry.what in once and entry.kind != "intent"] == list(once)
    tokens = [entry.token for entry in journal if entry.token]
    assert tokens == sorted(tokens)
    assert (await place.desk.ledger.promotions.of_run(run.dag_id, run.run_id)).outcome == "promoted"


async def test_approvals_that_somebody_marked_as_done_open_nothing_and_the_red_run_is_paged_once(
    airflow_platform: OwnPlatform, airflow: Desk, place: Place
) -> None:
    """Scenario D16."""
    old, old_colour = await place.serving()
    await verified_in_staging(airflow_platform, place)
    with place.watched() as seen:
        run = await airflow.trigger("developer", DAG)
        await until("people are asked", lambda: asked(airflow, run), limit=GATES_PASSED)
        # The count first: it would begin, and refuse, as soon as the votes look given.
        for task in ("approve.record_approvals", *VOTES):
            await _mark_success(airflow, run, task)
        run = await until_ended(airflow, run)
    assert run.state == "failed"
    states = await airflow.task_states(run)
    assert states["deploy_preview"] == "failed"
    assert states["record"] == "upstream_failed"
    assert await place.desk.controller.find_of_run(run.dag_id, run.run_id) is None
    assert seen == [Weights.towards(old_colour, 100)]
    assert place.running(old_colour.other) == []
    assert place.deployments() == {place.target.deployment(old_colour): old.digest}
    channel = f"#{SERVICE}-alerts"
    key = page_key(SERVICE, "production", run.run_id)
    await until("the page is in the inbox", lambda: paged(airflow_platform, channel, key))
    pages = airflow_platform.pages(channel)
    assert page_ids(pages).count(key) == 1
    text = next(page["text"] for page in pages if page_ids([page]) == [key])
    for said in (SERVICE, "production", "holds no approval", "/tasks/deploy_preview"):
        assert said in text


async def _mark_success(airflow: Desk, run: DagRun, task: str) -> None:
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task}"
    await airflow._ask("admin", "PATCH", path, json={"new_state": "success"})
