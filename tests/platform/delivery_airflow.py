"""What orchestration costs: a promotion to production through Airflow, minus everything that is waited for.

Waited for are votes (from the question to the answer), the wait timer, steps and bake (by the controller's
journal), and pods that test. Whatever else of the run's time is left is overhead, and is shared out to the
tasks that were under way; what no task had is the scheduler's.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from delivery_table import ENVIRONMENT, Options, Row
from own_platform import OwnPlatform, own_platform
from promoting import DAG, approve, asked, at_step, knows, placed, until_ended, verified_in_staging
from releasing import SERVICE, Place, until
from task_processes import task_instances

from local_platform.demo.people import DagRun, Desk
from platform_ops.core.records import Entry

REACH = 60.0
TESTING = ("check_source", "gates.")
"""Tasks that are a pod which tests."""
NOBODY = "between two tasks (the scheduler)"
SHOWN = 8
ASKED_WITHIN, ENDED_WITHIN = 1200.0, 900.0


@dataclass(frozen=True)
class Span:
    """Unix seconds."""

    begin: float
    end: float
    name: str = ""


def measure(options: Options) -> list[Row]:
    with own_platform() as platform, tempfile.TemporaryDirectory() as folder:
        platform.up()
        return asyncio.run(_promoted(platform, Path(folder)))


async def _promoted(platform: OwnPlatform, folder: Path) -> list[Row]:
    async with placed(platform, folder) as place, httpx.AsyncClient(timeout=60, trust_env=False) as client:
        airflow = Desk(platform.url("airflow"), platform.passwords, client)
        await until("Airflow knows the DAG", lambda: knows(airflow), limit=300)
        await place.serving()
        await verified_in_staging(platform, place)
        run = await airflow.trigger("developer", DAG)
        await until("people are asked", lambda: _asked(airflow, run), limit=ASKED_WITHIN)
        await approve(airflow, run)
        await until("a step is watched", lambda: at_step(place, run, 0), limit=ENDED_WITHIN)
        pool = await airflow._ask("admin", "GET", "/pools/default_pool")
        run = await until_ended(airflow, run, limit=ENDED_WITHIN)
        assert run.state == "success", f"the run ended {run.state}"
        timer = place.desk.catalog.approvals(SERVICE, ENVIRONMENT, hotfix=False).wait_timer
        return [
            *await _overhead(airflow, place, run, timer.total_seconds()),
            Row(
                "worker slots while Airflow's rollout waits",
                f"{pool['running_slots']} running, {pool['deferred_slots']} deferred",
                "0",
                pool["running_slots"] == 0,
            ),
        ]


async def _asked(airflow: Desk, run: DagRun) -> bool:
    now = await airflow.run(run.dag_id, run.run_id)
    assert not now.finished, f"the run ended {now.state} before anybody was asked"
    return await asked(airflow, run)


async def _overhead(airflow: Desk, place: Place, run: DagRun, timer: float) -> list[Row]:
    path = f"/dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id)}"
    of_run = await airflow._ask("admin", "GET", path)
    whole = Span(_at(of_run["queued_at"] or of_run["start_date"]), _at(of_run["end_date"]))
    instances = await task_instances(airflow, run)
    questions = (await airflow._ask("admin", "GET", f"{path}/hitlDetails"))["hitl_details"]
    view = await place.desk.controller.of_run(run.dag_id, run.run_id)
    waited = [
        *_votes(questions),
        *_tests(instances),
        *_watched(await place.journal(view.rollout_id)),
        *_timer(instances, timer),
    ]
    return _rows(whole, share_out(whole, _tasks(instances), waited))


def _rows(whole: Span, shares: Counter[str]) -> list[Row]:
    overhead, largest = sum(shares.values()), shares.most_common(SHOWN)
    rest = overhead - sum(seconds for _, seconds in largest)
    return [
        Row(
            "overhead of a promotion through Airflow",
            f"{overhead:.1f} s of {whole.end - whole.begin:.1f} s",
            f"at most {REACH:g} s",
            overhead <= REACH,
        ),
        *(Row(f"of that: {name}", f"{seconds:.1f} s") for name, seconds in largest),
        Row("of that: all other tasks", f"{rest:.1f} s"),
    ]


def share_out(whole: Span, tasks: list[Span], waited: list[Span]) -> Counter[str]:
    """Seconds of the run in which nothing was waited for, by task; tasks that overlap share them."""
    edges = {edge for span in (whole, *tasks, *waited) for edge in (span.begin, span.end)}
    inside = sorted(edge for edge in edges if whole.begin <= edge <= whole.end)
    shares: Counter[str] = Counter()
    for begin, end in pairwise(inside):
        if any(span.begin <= begin and end <= span.end for span in waited):
            continue
        here = [span.name for span in tasks if span.begin <= begin and end <= span.end] or [NOBODY]
        for name in here:
            shares[name] += (end - begin) / len(here)  # type: ignore[assignment]
    return shares


# -------------------------------------------------------------------- what Airflow and the ledger know
def _tasks(instances: Mapping[str, Mapping[str, Any]]) -> list[Span]:
    """From the moment when the executor was given it; those that never began are left out."""
    return [
        Span(_at(one["queued_when"] or one["start_date"]), _at(one["end_date"]), name)
        for name, one in instances.items()
        if one["start_date"] and one["end_date"]
    ]


def _tests(instances: Mapping[str, Mapping[str, Any]]) -> list[Span]:
    """The work of the tasks that test in pods, without the time before their process runs."""
    return [
        Span(_at(one["start_date"]), _at(one["end_date"]), name)
        for name, one in instances.items()
        if name.startswith(TESTING) and one["start_date"] and one["end_date"]
    ]


def _timer(instances: Mapping[str, Mapping[str, Any]], seconds: float) -> list[Span]:
    """What the catalog asks for; what Airflow takes longer to wake up is overhead."""
    timers = [one for one in _tasks(instances) if one.name == "approve.wait_timer"]
    return [Span(one.begin, min(one.end, one.begin + seconds)) for one in timers]


def _votes(questions: Iterable[Mapping[str, Any]]) -> list[Span]:
    return [
        Span(_at(one["created_at"]), _at(one["responded_at"]), one["task_instance"]["task_id"])
        for one in questions
        if one["responded_at"]
    ]


def _watched(journal: tuple[Entry, ...]) -> list[Span]:
    """From the proof of a step, or the begin of the bake, until it was left."""
    spans: list[Span] = []
    since: float | None = None
    for entry in journal:
        if entry.kind != "done":
            continue
        at = entry.at.timestamp()
        if entry.what == "Enter" and since is not None:
            spans.append(Span(since, at))
            since = None
        if entry.what == "Confirm" or (entry.what == "Enter" and entry.detail["phase"] == "Baking"):
            since = at
    return spans


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
