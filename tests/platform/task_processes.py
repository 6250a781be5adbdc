"""The processes in which Airflow runs tasks: found by Airflow's own facts, stopped and killed by pid."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from own_platform import OwnPlatform
from releasing import until

from local_platform import processes
from local_platform.demo.people import DagRun, Desk
from local_platform.processes import Process

SLICE = 0.01
"""Seconds for which a watched task may run between two looks at what it has done."""


@dataclass(frozen=True)
class TaskProcess:
    """The process that runs a task now, stopped by SIGSTOP, and the executor's worker that waits for it."""

    task: Process
    worker: Process

    async def run_until(self, happened: Callable[[], Awaitable[bool]]) -> None:
        """Let it run in slices until it has done what is asked for; it is stopped again then."""
        while not await happened():
            assert processes.alive([self.task]), "the task ended before it could be killed"
            processes.send([self.task], signal.SIGCONT)
            await asyncio.sleep(SLICE)
            processes.send([self.task], signal.SIGSTOP)

    def kill(self) -> None:
        processes.send([self.task], signal.SIGKILL)

    def kill_with_worker(self) -> None:
        """The worker first, or it would report the task's end."""
        processes.send([self.worker], signal.SIGKILL)
        processes.send([self.task], signal.SIGKILL)


@asynccontextmanager
async def stopped(platform: OwnPlatform, airflow: Desk, run: DagRun, task: str) -> AsyncIterator[TaskProcess]:
    """The process of a task that is on its worker, neither waiting nor deferred; gone at the end."""
    found: list[TaskProcess] = []

    async def runs() -> bool:
        instance = (await task_instances(airflow, run))[task]
        process = processes.look_up(instance["pid"]) if instance["state"] == "running" else None
        if process is None:
            return False
        assert process.pid in platform.pids("airflow-scheduler")
        processes.send([process], signal.SIGSTOP)
        found.append(TaskProcess(process, processes.table()[process.parent]))
        return True

    await until(f"{task} runs on a worker", runs, limit=180)
    try:
        state = (await task_instances(airflow, run))[task]["state"]
        assert state == "running", f"{task} was {state} before it could be stopped"
        yield found[0]
    finally:
        found[0].kill()


async def task_instances(airflow: Desk, run: DagRun) -> dict[str, dict[str, Any]]:
    """Airflow's own facts about the run's tasks, among them the process that runs one."""
    path = f"/dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id)}/taskInstances?limit=200"
    answer = await airflow._ask("admin", "GET", path)
    return {instance["task_id"]: instance for instance in answer["task_instances"]}
