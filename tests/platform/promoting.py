"""Promotions in the running Airflow: what people do there, and where a run stands."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from own_platform import OwnPlatform
from releasing import ONE_SWITCH, POLICY, SERVICE, Place, page_ids, until

from local_platform.demo.people import DagRun, Desk
from local_platform.services.git import Git
from platform_ops import wiring
from platform_ops.core.release import Colour, Release, Weights
from platform_ops.core.state import Phase
from platform_ops.settings import Settings

DAG = f"promote_{SERVICE}_production"
VOTES = {
    "approve.vote_senior_developer_1": "senior1",
    "approve.vote_senior_developer_2": "senior2",
    "approve.vote_devops_1": "devops",
}

GATES_PASSED = 400.0
"""Seconds until the gates have run in their pods at the latest, one after another on two cores."""

READING = 3.0
"""Seconds. An answer within two seconds of the question may fail the task (apache/airflow #71579)."""


# -------------------------------------------------------------------- the release
async def verified_in_staging(platform: OwnPlatform, place: Place) -> Release:
    """A release of a commit that the service's repository has. It serves in staging, and well: production is
    closed to every other one."""
    commit = await asyncio.to_thread(_committed, platform, place.folder / "clone")
    release = await place.built(commit=commit)
    for environment in ("development", "staging"):
        async with placed(platform, place.folder, environment) as before:
            promotion = await before.promotion(release)
            if environment == "staging":
                opened = before.request(promotion, steps=ONE_SWITCH, bake=timedelta(0))
                view = await before.drive(await before.desk.controller.open(opened))
                assert view.phase is Phase.PROMOTED, view
            await before.desk.ledger.promotions.finish(promotion.id, "promoted")
    return release


@asynccontextmanager
async def placed(
    platform: OwnPlatform, folder: Path, environment: str = "production", **changed: str
) -> AsyncIterator[Place]:
    """The stand-in in an environment, at a desk with changed settings that asks for few gates."""
    chosen = replace(Settings.of(platform.settings), gate_policy=str(POLICY), **changed)
    async with wiring.connect(chosen) as desk:
        target = desk.catalog.target(SERVICE, environment)
        kubectl = ("kubectl", f"--kubeconfig={platform.kubeconfig()}", f"--namespace={target.namespace}")
        yield Place(desk, target, platform.url("gateway"), lambda *words: [*kubectl, *words], folder)


def _committed(platform: OwnPlatform, clone: Path) -> str:
    """Push the stand-in's tree, on top of what is live, to a branch that starts no promotion."""
    git = Git(platform.supervisor.platform)
    branch = f"test-{secrets.token_hex(4)}"
    return git.clone(SERVICE, clone, branch=branch, start="main").commit().id


# -------------------------------------------------------------------- what people do
async def approve(airflow: Desk, run: DagRun) -> None:
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

    await until("all votes are given", counted, limit=GATES_PASSED)


async def abandon(airflow: Desk, run: DagRun) -> None:
    """What a failed test left behind would keep the next run waiting."""
    path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}"
    await airflow._ask("admin", "PATCH", path, json={"state": "failed"})


async def until_ended(airflow: Desk, run: DagRun, limit: float = 180) -> DagRun:
    async def finished() -> bool:
        return (await airflow.run(run.dag_id, run.run_id)).finished

    await until("the run ends", finished, limit=limit)
    return await airflow.run(run.dag_id, run.run_id)


# -------------------------------------------------------------------- what is looked at
async def knows(airflow: Desk) -> bool:
    return DAG in await airflow.known_dags()


async def asked(airflow: Desk, run: DagRun) -> bool:
    return len(await airflow.open_seats(run)) == len(VOTES)


async def opened(place: Place, run: DagRun) -> bool:
    return await place.desk.controller.find_of_run(run.dag_id, run.run_id) is not None


async def at_step(place: Place, run: DagRun, step: int) -> bool:
    view = await place.desk.controller.find_of_run(run.dag_id, run.run_id)
    return view is not None and view.rollout.step == step and view.rollout.since is not None


async def held_by(place: Place, run: DagRun, holder: str) -> bool:
    return (await place.desk.controller.of_run(run.dag_id, run.run_id)).rollout.holder == holder


async def promoted(place: Place, run: DagRun) -> bool:
    return (await place.desk.controller.of_run(run.dag_id, run.run_id)).reached(Phase.PROMOTED)


async def paged(platform: OwnPlatform, channel: str, key: str) -> bool:
    return key in page_ids(await asyncio.to_thread(platform.pages, channel))


def shifts_in_words(colour: Colour) -> list[str]:
    """As the journal says each step."""
    steps = [Weights.towards(colour, share) for share in (5, 25, 50, 100)]
    return [f"blue {one.blue} %, green {one.green} %" for one in steps]
