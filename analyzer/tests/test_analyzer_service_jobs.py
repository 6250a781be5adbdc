"""Training jobs are bounded, end with the service, and never leave half a model or a process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from analyzer_clients import KEYS, SETTINGS, eventually, training_rows
from analyzer_servers import running

from analyzer.service import training
from analyzer.service.app import create_app
from analyzer.storage.records import JobStatus, TrainingJob


async def begin(client: httpx.AsyncClient, name: str | None = None) -> httpx.Response:
    return await client.post("/train", json={"rows": training_rows(), "name": name}, headers=KEYS)


async def end_of(client: httpx.AsyncClient, begun: httpx.Response) -> dict[str, object]:
    return await eventually(
        lambda: client.get(begun.headers["location"], headers=KEYS),
        lambda body: body["status"] not in {"queued", "running"},
    )


async def test_a_job_that_takes_too_long_is_ended_with_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SECONDS", 0.001)
    started: list[asyncio.subprocess.Process] = []
    really_start = asyncio.create_subprocess_exec

    async def start(*command: str, **options: object) -> asyncio.subprocess.Process:
        started.append(await really_start(*command, **options))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    async with running(create_app(SETTINGS)) as client:
        job = await end_of(client, await begin(client))
        assert (job["status"], job["version"]) == ("failed", None)
        assert "took more than" in str(job["problem"])
        assert [process.returncode for process in started] == [-9]
        assert len((await client.get("/versions", headers=KEYS)).json()["versions"]) == 1


async def test_a_worker_that_dies_makes_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setattr(training.sys, "executable", "/bin/false")
    async with running(create_app(SETTINGS)) as client:
        job = await end_of(client, await begin(client, "never"))
        assert (job["status"], job["version"]) == ("failed", None)
        assert "ended with code 1" in str(job["problem"])


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """No training process starts before it is set: a quick one would make room while a test still asks."""
    opened = asyncio.Event()
    really_start = asyncio.create_subprocess_exec

    async def start(*command: str, **options: object) -> asyncio.subprocess.Process:
        await opened.wait()
        return await really_start(*command, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    return opened


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
async def test_only_so_many_jobs_wait(gate: asyncio.Event, at_once: bool) -> None:
    async with running(create_app(SETTINGS)) as client:
        asked = training.MOST_JOBS + 1
        if at_once:
            answers = await asyncio.gather(*(begin(client) for _ in range(asked)))
        else:
            answers = [await begin(client) for _ in range(asked)]
        assert sorted(answer.status_code for answer in answers) == [202] * training.MOST_JOBS + [429]
        (refused,) = (answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        gate.set()
        for answer in answers:
            if answer is not refused:
                assert (await end_of(client, answer))["status"] == "succeeded"


async def test_two_jobs_for_one_name_make_one_version() -> None:
    async with running(create_app(SETTINGS)) as client:
        ends = [
            await end_of(client, answer) for answer in (await begin(client, "x"), await begin(client, "x"))
        ]
        assert sorted(str(end["status"]) for end in ends) == ["failed", "succeeded"]
        assert (await begin(client, "x")).status_code == 409


async def test_a_service_that_stops_says_that_its_job_was_interrupted() -> None:
    app = create_app(SETTINGS)
    async with running(app) as client:
        begun = await begin(client)
    job = await app.state.runtime.store.job(UUID(begun.json()["id"]))
    assert job.status is JobStatus.INTERRUPTED
    assert "send the rows again" in str(job.problem)
    assert (await app.state.runtime.store.snapshot()).versions == {}


async def test_a_job_whose_process_is_gone_is_shown_as_interrupted() -> None:
    app = create_app(SETTINGS)
    now = datetime.now(UTC)
    lost = TrainingJob(uuid4(), JobStatus.RUNNING, 40, now, "admin", now - timedelta(minutes=1))
    alive = replace(lost, id=uuid4(), heartbeat_at=now)
    async with running(app) as client:
        for job in (lost, alive):
            await app.state.runtime.store.create_job(job)
        shown = [
            (await client.get(f"/train/{job.id}", headers=KEYS)).json()["status"] for job in (lost, alive)
        ]
        assert shown == ["interrupted", "running"]
