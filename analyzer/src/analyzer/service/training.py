"""Training jobs: rows are examined at once, a process of its own fits the model, which becomes a version."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from analyzer.calibration.model import Calibrator, ModelError, digest, load
from analyzer.calibration.rows import Example, LabelledRow, examine
from analyzer.service.detection import Detector
from analyzer.service.registry import Registry
from analyzer.service.workers import PoolFull, Workers
from analyzer.storage.ports import Store
from analyzer.storage.records import Conflict, JobStatus, ModelVersion, StoreUnavailable, TrainingJob

log = logging.getLogger("analyzer.training")

MOST_JOBS = 4
"""Jobs of one process that run or wait; one runs."""
SECONDS = 120.0
"""Wall time of one job's process; its processor time and memory are limited by itself."""
HEARTBEAT = 5.0
SILENCE = timedelta(seconds=30)
"""A job whose process said nothing for so long is gone with it."""
_LARGEST_ANSWER = 1 << 16
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
"""Variables that the worker needs to start; credentials are not among them."""


class Training:
    """The jobs of this process."""

    def __init__(self, detector: Detector, store: Store, registry: Registry, workers: Workers) -> None:
        self._detector = detector
        self._store = store
        self._registry = registry
        self._workers = workers
        self._one = asyncio.Semaphore(1)
        self._tasks: dict[asyncio.Task[None], TrainingJob] = {}
        self._submitted = 0

    @property
    def open_jobs(self) -> int:
        """Jobs that run or wait here, and those whose rows are being examined."""
        return len(self._tasks) + self._submitted

    async def submit(self, rows: Sequence[LabelledRow], name: str | None, caller: str) -> TrainingJob:
        """A job that the store has confirmed.

        Raises `HostileRows`, `Conflict` for a name that is taken, `PoolFull` and `StoreUnavailable`.
        """
        if self.open_jobs >= MOST_JOBS:
            raise PoolFull
        if name is not None and (name == self._registry.builtin or name in self._registry.snapshot.versions):
            raise Conflict(f"a version named {name!r} exists already")
        # Its place is taken before anything is waited for, or requests that come at once all find it free.
        self._submitted += 1
        try:
            return await self._begun(rows, name, caller)
        finally:
            self._submitted -= 1

    async def _begun(self, rows: Sequence[LabelledRow], name: str | None, caller: str) -> TrainingJob:
        examples = await self._workers.run(lambda: examine(rows, self._detector.judge))
        now = datetime.now(UTC)
        job = TrainingJob(uuid4(), JobStatus.QUEUED, len(rows), now, caller, now)
        await self._store.create_job(job)
        task = asyncio.create_task(self._carry_out(job, examples, name or f"candidate-{job.id.hex[:12]}"))
        self._tasks[task] = job
        task.add_done_callback(self._tasks.pop)
        return job

    async def job(self, job_id: UUID) -> TrainingJob:
        """A job of any process, as it stands."""
        job = await self._store.job(job_id)
        if not job.status.ended and job.silent_for(datetime.now(UTC)) > SILENCE:
            problem = "the process that ran it is gone; send the rows again"
            return replace(job, status=JobStatus.INTERRUPTED, problem=problem)
        return job

    async def close(self) -> None:
        """Ends what runs: jobs are marked as interrupted."""
        interrupted = dict(self._tasks)
        for task in interrupted:
            task.cancel()
        await asyncio.gather(*interrupted, return_exceptions=True)
        # Not by the tasks themselves: one that was cancelled before its first step would say nothing.
        problem = "the service stopped; send the rows again"
        for task, job in interrupted.items():
            if task.cancelled():
                await self._end(job, JobStatus.INTERRUPTED, problem=problem, tries=1)

    async def _carry_out(self, job: TrainingJob, examples: list[Example], name: str) -> None:
        running = asyncio.Event()
        alive = asyncio.create_task(self._heartbeat(job, running))
        try:
            async with self._one:
                running.set()
                calibrator = await self._fitted(examples)
            await self._end(job, JobStatus.SUCCEEDED, name=name, calibrator=calibrator)
        except _Failed as error:
            await self._end(job, JobStatus.FAILED, problem=str(error))
        finally:
            alive.cancel()

    async def _heartbeat(self, job: TrainingJob, running: asyncio.Event) -> None:
        while True:
            try:
                status = JobStatus.RUNNING if running.is_set() else JobStatus.QUEUED
                now = datetime.now(UTC)
                await self._store.save_job(replace(job, status=status, heartbeat_at=now))
            except Conflict:
                return
            except StoreUnavailable as error:
                log.warning("the heartbeat of job %s was not stored: %s", job.id, error)
            await asyncio.sleep(HEARTBEAT)

    async def _fitted(self, examples: Sequence[Example]) -> Calibrator:
        """A calibrator that the service can load: what cannot be loaded is never stored."""
        answer = await _run_worker(
            {
                "base": self._registry.builtin,
                "examples": [[e.vector, e.engine_probability, e.is_secret] for e in examples],
            }
        )
        if "model" not in answer:
            raise _Failed(str(answer.get("problem", "the training process gave no model")))
        try:
            return load(answer["model"], self._registry.builtin)
        except ModelError as error:
            raise _Failed(f"the fitted model is unusable: {error}") from error

    async def _end(
        self,
        job: TrainingJob,
        status: JobStatus,
        *,
        name: str | None = None,
        calibrator: Calibrator | None = None,
        problem: str | None = None,
        tries: int | None = None,
    ) -> None:
        """Stores the end of a job, and its model, in one transaction; tries until the store confirms."""
        now = datetime.now(UTC)
        version = None
        if name is not None and calibrator is not None:
            document = calibrator.document()
            version = ModelVersion(
                name, document, digest(document), "job", now, job.created_by, f"job {job.id}"
            )
        ended = replace(
            job,
            status=status,
            heartbeat_at=now,
            ended_at=now,
            problem=problem,
            version=version.name if version else None,
            figures=calibrator.trained if calibrator else None,
        )
        while True:
            try:
                await self._store.save_job(ended, version)
                break
            except Conflict as error:
                if version is None:
                    log.warning("the end of job %s was not stored: %s", job.id, error)
                    return
                raise _Failed(str(error)) from error
            except StoreUnavailable as error:
                log.warning("the end of job %s was not stored: %s", job.id, error)
                if tries is not None:
                    return
                await asyncio.sleep(HEARTBEAT / 5)
        log.info("training job %s: %s", job.id, status)
        # Here at once; other processes read it within a second or so, and this one too if this fails.
        with suppress(StoreUnavailable):
            await self._registry.refresh()


class _Failed(Exception):
    """A job ended without a model; the message says why."""


async def _run_worker(request: Mapping[str, object]) -> dict[str, object]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "analyzer.calibration.worker",
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True,
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate(json.dumps(request).encode())
    except TimeoutError:
        raise _Failed(f"training took more than {SECONDS:g} seconds") from None
    finally:
        await _ended(process)
    if process.returncode != 0 or len(output) > _LARGEST_ANSWER:
        raise _Failed(f"the training process ended with code {process.returncode}: too much time or memory?")
    answer = json.loads(output)
    return answer if isinstance(answer, dict) else {}


async def _ended(process: Process) -> None:
    """Nothing of it outlives the job."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
