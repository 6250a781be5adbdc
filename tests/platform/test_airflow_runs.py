"""Promotions in the running Airflow: processes are killed in mid-rollout, tasks are marked by hand."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from own_platform import OwnPlatform
from releasing import SERVICE, Place, done, page_ids, shares, until

from local_platform.demo.people import DagRun, Desk
from local_platform.layout import CHECKOUT
from local_platform.services.git import Git
from local_platform.sources import SOURCES
from platform_ops.core.paging import page_key
from platform_ops.core.release import Colour, Release, Weights
from platform_ops.core.state import Phase

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

DAG = f"promote_{SERVICE}_production"
VOTES = {
    "approve.vote_senior_developer_1": "senior1",
    "approve.vote_senior_developer_2": "senior2",
    "approve.vote_devops_1": "devops",
}

READING = 3.0
"""Seconds. An answer within two seconds of the question may fail the task (apache/airflow #71579)."""


@pytest.fixture
async def airflow(airflow_platform: OwnPlatform) -> AsyncIterator[Desk]:
    """Airflow's REST API with everybody's login."""
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        desk = Desk(airflow_platform.url("airflow"), airflow_platform.passwords, client)
        await until("Airflow knows the DAG", lambda: _knows(desk), limit=180)
        yield desk
        for run in await desk.runs(DAG):
            if not run.finished:
                await _end(desk, run)


async def test_a_rollout_whose_worker_and_triggerer_are_killed_is_taken_over_and_its_run_ends_green(
    airflow_platform: OwnPlatform, airflow: Desk, place: Place
) -> None:
    """Scenario D13."""
    await place.serving()
    new = await _verified_in_staging(airflow_platform, place)
    with place.watched() as seen:
        async with place.traffic(rate=50) as traffic:
            run = await airflow.trigger("developer", DAG)
            await _approve(airflow, run)
            await until("25 % of the traffic is shifted", lambda: _at_step(place, run, 1))
            for part in ("airflow-triggerer", "airflow-scheduler"):
                await asyncio.to_thread(airflow_platform.kill, part)
            await until("the standby holds the rollout", lambda: _held_by(place, run, "standby-1"))
            await until("the standby has promoted it", lambda: _promoted(place, run), limit=150)
            await asyncio.to_thread(airflow_platform.up, "airflow-triggerer", "airflow-scheduler")
            run = await _ended(airflow, run)
    assert run.state == "success"
    rollout = (await place.desk.controller.of_run(run.dag_id, run.run_id)).rollout
    assert rollout.release == new
    assert shares(seen, rollout.colour) == [0, 5, 25, 50, 100]
    assert traffic.failed == []
    assert set(await place.colours()) == {f"{rollout.colour} 200"}
    journal = await place.journal(rollout.id)
    shifted = [(entry.why, entry.actor.partition("@")[0]) for entry in done(journal, "Shift")]
    assert [why for why, _ in shifted] == _in_words(rollout.colour)
    assert [actor for _, actor in shifted] == ["triggerer", "triggerer", "standby-1", "standby-1"]
    tokens = [entry.token for entry in journal if entry.token]
    assert tokens == sorted(tokens)
    assert (await place.desk.ledger.promotions.of_run(run.dag_id, run.run_id)).outcome == "promoted"


async def test_approvals_that_somebody_marked_as_done_open_nothing_and_the_red_run_is_paged_once(
    airflow_platform: OwnPlatform, airflow: Desk, place: Place
) -> None:
    """Scenario D16."""
    old, old_colour = await place.serving()
    await _verified_in_staging(airflow_platform, place)
    with place.watched() as seen:
        run = await airflow.trigger("developer", DAG)
        await until("people are asked", lambda: _asked(airflow, run), limit=150)
        # The count first: it would begin, and refuse, as soon as the votes look given.
        for task in ("approve.record_approvals", *VOTES):
            await _mark_success(airflow, run, task)
        run = await _ended(airflow, run)
    assert run.state == "failed"
    states = await airflow.task_states(run)
    assert states["roll_out"] == "failed"
    assert states["record"] == "upstream_failed"
    view = await place.desk.controller.of_run(run.dag_id, run.run_id)
    assert view.phase is Phase.ROLLED_BACK
    assert "holds no approval" in view.reason
    assert seen == [Weights.towards(old_colour, 100)]
    assert place.running(old_colour.other) == []
    assert place.deployments() == {place.target.deployment(old_colour): old.digest}
    channel = f"#{SERVICE}-alerts"
    key = page_key(SERVICE, "production", run.run_id)
    await until("the page is in the inbox", lambda: _paged(airflow_platform, channel, key))
    pages = airflow_platform.pages(channel)
    assert page_ids(pages).count(key) == 1
    text = next(page["text"] for page in pages if page_ids([page]) == [key])
    for said in (SERVICE, "production", "holds no approval", "/tasks/roll_out"):
        assert said in text


# -------------------------------------------------------------------- the release
async def _verified_in_staging(platform: OwnPlatform, place: Place) -> Release:
    """A release of a commit that the service's repository has, promoted in staging."""
    commit = await asyncio.to_thread(_committed, platform, place.folder / "clone")
    release = await place.built(commit=commit)
    for environment in ("development", "staging"):
        promotion = await place.desk.ledger.promotions.open(
            dag_id=f"promote_{SERVICE}_{environment}",
            run_id=f"test-{commit[:8]}",
            service=SERVICE,
            environment=environment,
            commit=release.commit,
            version=release.version,
            digest=release.digest,
            requested_by="developer",
            url="http://airflow.example.com/run",
        )
        await place.desk.ledger.promotions.finish(promotion.id, "promoted")
    return release


def _committed(platform: OwnPlatform, clone: Path) -> str:
    """Push the stand-in's tree to a branch of its repository that starts no promotion."""
    bare = Git(platform.supervisor.platform).repository(SERVICE)
    shutil.copytree(CHECKOUT / SOURCES[SERVICE], clone)
    author = ("-c", "user.name=developer", "-c", "user.email=developer@example.com")
    for words in (
        ("init", "--quiet"),
        ("add", "--all"),
        (*author, "commit", "--quiet", "--message", f"Release for {clone.parent.name}"),
        ("push", "--quiet", str(bare), f"HEAD:refs/heads/test-{secrets.token_hex(4)}"),
    ):
        subprocess.run(["git", *words], cwd=clone, check=True, capture_output=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True)
    return head.stdout.strip()


# -------------------------------------------------------------------- what people do
async def _approve(airflow: Desk, run: DagRun) -> None:
    """Each of the three people reads for a while and answers the seat; whenever Airflow asks again, too."""
    since: dict[str, float] = {}

    async def counted() -> bool:
        now = asyncio.get_running_loop().time()
        for seat in await airflow.open_seats(run):
            task = seat["task_instance"]["task_id"]
            if now - since.setdefault(task, now) > READING and await airflow.approve(VOTES[task], seat):
                del since[task]
        states = await airflow.task_states(run)
        return all(states.get(task) == "success" for task in VOTES)

    await until("all votes are given", counted, limit=180)


async def _mark_success(airflow: Desk, run: DagRun, task: str) -> None:
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task}"
    await airflow._ask("admin", "PATCH", path, json={"new_state": "success"})


async def _end(airflow: Desk, run: DagRun) -> None:
    """What a failed test left behind would keep the next run waiting."""
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}"
    await airflow._ask("admin", "PATCH", path, json={"state": "failed"})


async def _ended(airflow: Desk, run: DagRun) -> DagRun:
    async def finished() -> bool:
        return (await airflow.run(run.dag_id, run.run_id)).finished

    await until("the run ends", finished, limit=180)
    return await airflow.run(run.dag_id, run.run_id)


# -------------------------------------------------------------------- what is looked at
async def _knows(airflow: Desk) -> bool:
    return DAG in await airflow.known_dags()


async def _asked(airflow: Desk, run: DagRun) -> bool:
    return len(await airflow.open_seats(run)) == len(VOTES)


async def _at_step(place: Place, run: DagRun, step: int) -> bool:
    view = await place.desk.controller.find_of_run(run.dag_id, run.run_id)
    return view is not None and view.rollout.step == step and view.rollout.since is not None


async def _held_by(place: Place, run: DagRun, holder: str) -> bool:
    return (await place.desk.controller.of_run(run.dag_id, run.run_id)).rollout.holder == holder


async def _promoted(place: Place, run: DagRun) -> bool:
    return (await place.desk.controller.of_run(run.dag_id, run.run_id)).reached(Phase.PROMOTED)


async def _paged(platform: OwnPlatform, channel: str, key: str) -> bool:
    return key in page_ids(await asyncio.to_thread(platform.pages, channel))


def _in_words(colour: Colour) -> list[str]:
    """As the journal says each step."""
    steps = [Weights.towards(colour, share) for share in (5, 25, 50, 100)]
    return [f"blue {one.blue} %, green {one.green} %" for one in steps]
