"""A breach in the warm window, when the promotion's run is long over: people and Airflow hear of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from own_platform import OwnPlatform
from promoting import paged, until_ended
from releasing import ONE_SWITCH, SERVICE, Place, page_ids, until

from local_platform.demo.people import DagRun, Desk
from platform_ops.core.paging import page_key
from platform_ops.core.release import Weights
from platform_ops.core.state import Phase

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

ROLLBACK = f"rollback_{SERVICE}_production"


async def test_a_breach_while_airflow_is_away_goes_back_pages_once_and_becomes_one_red_run(
    airflow_platform: OwnPlatform, airflow: Desk, place: Place
) -> None:
    old, old_colour = await place.serving()
    rollout_id = await place.open(await place.built(), steps=ONE_SWITCH, bake=timedelta(0))
    # The standby leaves a promoted rollout to its promotion's last tasks for two minutes: it has none.
    view = await place.drive(rollout_id, Phase.WARM)
    assert view.phase is Phase.WARM
    await asyncio.to_thread(airflow_platform.kill, "airflow-api")
    deployment = f"deployment/{place.target.deployment(old_colour.other)}"
    place.run_kubectl("scale", deployment, "--replicas=0")
    await until("the old version serves again", lambda: _in_phase(place, rollout_id, Phase.ROLLED_BACK))
    assert place.weights() == Weights.towards(old_colour, 100)
    assert place.deployments() == {place.target.deployment(old_colour): old.digest}
    await until("Airflow was asked in vain", lambda: _asked_in_vain(place, rollout_id))

    await asyncio.to_thread(airflow_platform.up)
    run = DagRun(ROLLBACK, f"controller__{rollout_id}", "queued")
    await until("Airflow has taken the report", lambda: _exists(airflow, run))
    run = await until_ended(airflow, run)
    assert run.state == "failed"
    assert (await airflow.task_states(run))["roll_back"] == "failed"
    await place.desk.airflow.start(run.dag_id, run.run_id)
    assert [one.run_id for one in await airflow.runs(ROLLBACK)].count(run.run_id) == 1
    assert place.weights() == Weights.towards(old_colour, 100)
    channel = f"#{SERVICE}-alerts"
    key = page_key(SERVICE, "production", view.rollout.run_id)
    await until("the page is in the inbox", lambda: paged(airflow_platform, channel, key))
    assert page_ids(airflow_platform.pages(channel)).count(key) == 1


async def _in_phase(place: Place, rollout_id: str, phase: Phase) -> bool:
    return (await place.desk.ledger.rollouts.get(rollout_id)).phase is phase


async def _asked_in_vain(place: Place, rollout_id: str) -> bool:
    waiting = {report.rollout_id: report for report in await place.desk.ledger.reports.waiting()}
    return rollout_id in waiting and bool(waiting[rollout_id].last_error)


async def _exists(airflow: Desk, run: DagRun) -> bool:
    return run.run_id in [one.run_id for one in await airflow.runs(run.dag_id)]
