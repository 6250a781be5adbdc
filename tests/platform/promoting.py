"""Promotions in the running Airflow: what people do there, and where a run stands."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from own_platform import OwnPlatform
from releasing import SERVICE, Place, page_ids, until

from local_platform.demo.people import DagRun, Desk
from local_platform.services.git import Git
from platform_ops.core.release import Colour, Release, Weights
from platform_ops.core.state import Phase

DAG = f"promote_{SERVICE}_production"
VOTES = {
    "approve.vote_senior_developer_1": "senior1",
    "approve.vote_senior_developer_2": "senior2",
    "approve.vote_devops_1": "devops",
}

READING = 3.0
"""Seconds. An answer within two seconds of the question may fail the task (apache/airflow #71579)."""


# -------------------------------------------------------------------- the release
async def verified_in_staging(platform: OwnPlatform, place: Place) -> Release:
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

    await until("all votes are given", counted, limit=180)


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
