"""A worker dies as a whole, with the task that it runs: only the missing heartbeat tells (scenario D13)."""

from __future__ import annotations

import pytest
from own_platform import OwnPlatform
from promoting import DAG, approve, shifts_in_words, until_ended, verified_in_staging
from releasing import SERVICE, Place, done, page_ids, shares
from task_processes import stopped, task_instances

from local_platform.demo.people import Desk
from platform_ops.core.paging import page_key
from platform_ops.core.state import Phase

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(900)]


async def test_a_promotion_whose_worker_is_killed_goes_on_when_its_heartbeat_is_missed(
    airflow_platform: OwnPlatform, airflow: Desk, place: Place
) -> None:
    _, old_colour = await place.serving()
    new = await verified_in_staging(airflow_platform, place)
    with place.watched() as seen:
        async with place.traffic(rate=30) as traffic:
            run = await airflow.trigger("developer", DAG)
            await approve(airflow, run)
            async with stopped(airflow_platform, airflow, run, "roll_out") as roll_out:
                roll_out.kill_with_worker()
            run = await until_ended(airflow, run, limit=400)
    assert run.state == "success"
    assert (await task_instances(airflow, run))["roll_out"]["try_number"] == 2
    rollout = (await place.desk.controller.of_run(run.dag_id, run.run_id)).rollout
    assert rollout.phase.reached(Phase.PROMOTED)
    assert rollout.old is old_colour
    assert shares(seen, rollout.colour) == [0, 5, 25, 50, 100]
    assert traffic.failed == []
    assert set(await place.colours()) == {f"{rollout.colour} 200"}
    assert place.deployments()[place.target.deployment(rollout.colour)] == new.digest
    journal = await place.journal(rollout.id)
    assert [entry.why for entry in done(journal, "Shift")] == shifts_in_words(rollout.colour)
    key = page_key(SERVICE, "production", run.run_id)
    assert key not in page_ids(airflow_platform.pages(f"#{SERVICE}-alerts"))
