"""A report becomes one run of Airflow, also when Airflow is away or an answer gets lost."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest
from fakes import MIDNIGHT, ManualClock, MemoryLedger, seconds
from fakes_outside import MemoryAirflow

from platform_ops.adapters.airflow_api import AirflowApi
from platform_ops.adapters.pauses import FIRST_PAUSE, LONGEST_PAUSE
from platform_ops.adapters.reporter import Reporter
from platform_ops.core.errors import NotFound
from platform_ops.core.ports import Runs
from platform_ops.core.reports import Report

DAG, RUN = "rollback_llm-service_production", "controller__0d6cbb40"
REPORT = Report("rollout-1", DAG, RUN, MIDNIGHT)


class AirflowServer:
    """Answers POST and GET of runs as Airflow's REST API does; when it `loses_answer`, it took the run."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.loses_answer = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "token"})
        dag, _, run = request.url.path.removeprefix("/api/v2/dags/").partition("/dagRuns")
        if dag != DAG:
            return httpx.Response(404, json={"detail": f"The Dag with ID: `{dag}` was not found"})
        if request.method == "GET":
            known = run.removeprefix("/") in self.runs
            return httpx.Response(200 if known else 404, json={"dag_run_id": run})
        return self._take(json.loads(request.content))

    def _take(self, body: dict[str, str]) -> httpx.Response:
        assert body["logical_date"] is None
        if body["dag_run_id"] in self.runs:
            return httpx.Response(409, json={"detail": {"reason": "Unique constraint violation"}})
        self.runs.append(body["dag_run_id"])
        if self.loses_answer:
            self.loses_answer = False
            raise httpx.ReadError("the connection broke")
        return httpx.Response(200, json={"dag_run_id": body["dag_run_id"], "state": "queued"})

    def api(self) -> AirflowApi:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return AirflowApi(client, "http://airflow", "platform-ops", "secret")


@pytest.fixture(params=["memory", "rest-api"])
def either(request: pytest.FixtureRequest) -> tuple[Runs, list[str]]:
    """The port as the fake and as the adapter keep it, and the runs that there are."""
    if request.param == "memory":
        memory = MemoryAirflow(DAG)
        return memory, memory.runs[DAG]
    server = AirflowServer()
    return server.api(), server.runs


async def test_a_run_that_is_there_already_is_fine(either: tuple[Runs, list[str]]) -> None:
    port, runs = either
    await port.start(DAG, RUN)
    await port.start(DAG, RUN)
    assert runs == [RUN]


async def test_without_such_a_dag_it_is_not_found(either: tuple[Runs, list[str]]) -> None:
    port, runs = either
    with pytest.raises(NotFound):
        await port.start("rollback_other_production", RUN)
    assert runs == []


class TestReporter:
    @pytest.fixture(autouse=True)
    async def setting(self) -> None:
        self.clock = ManualClock()
        self.memory = MemoryLedger(self.clock)
        await self.memory.report_table.ask(REPORT)

    def reporter(self, runs: Runs) -> Reporter:
        return Reporter(self.memory.connection(), runs, self.clock)

    async def test_what_waits_is_started_once(self) -> None:
        airflow = MemoryAirflow(DAG)
        reporter = self.reporter(airflow)
        assert await reporter.start_waiting() == ()
        assert await reporter.start_waiting() == ()
        assert airflow.runs == {DAG: [RUN]}
        assert self.memory.report_table.kept["rollout-1"].started_at == MIDNIGHT

    async def test_an_airflow_that_is_away_gets_it_when_it_is_back(self) -> None:
        airflow = MemoryAirflow(DAG)
        airflow.away = True
        reporter = self.reporter(airflow)
        assert await reporter.start_waiting() == (REPORT,)
        kept = self.memory.report_table.kept["rollout-1"]
        assert kept == replace(REPORT, attempts=1, last_error="Airflow does not answer")
        airflow.away = False
        self.clock.advance(FIRST_PAUSE)
        assert await reporter.start_waiting() == ()
        assert airflow.runs == {DAG: [RUN]}

    async def test_an_airflow_that_stays_away_is_asked_ever_more_rarely(self) -> None:
        airflow = MemoryAirflow(DAG)
        airflow.away = True
        reporter = self.reporter(airflow)
        for _ in range(600):
            await reporter.start_waiting()
            self.clock.advance(seconds(1))
        attempts = self.memory.report_table.kept["rollout-1"].attempts
        assert 600 / LONGEST_PAUSE.total_seconds() <= attempts <= 20

    async def test_a_lost_answer_makes_no_second_run(self) -> None:
        server = AirflowServer()
        server.loses_answer = True
        reporter = self.reporter(server.api())
        assert [report.run_id for report in await reporter.start_waiting()] == [RUN]
        self.clock.advance(FIRST_PAUSE)
        assert await reporter.start_waiting() == ()
        assert server.runs == [RUN]
