"""Airflow's REST API as its documents state it: token, paging of votes, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from platform_ops.adapters.airflow_api import AirflowApi, Answer
from platform_ops.core.errors import Conflict, NotFound, OpsError, Refused, Unavailable

DAG, RUN = "promote_llm-service_production", "manual__2026-01-01T00:00:00+00:00"
Handler = Callable[[httpx.Request], httpx.Response]


def detail(number: int, user: str | None = None, at: str = "2026-01-01T00:00:00Z") -> dict[str, object]:
    return {
        "task_instance": {"task_id": f"approve.vote_qa_{number}", "dag_id": DAG, "dag_run_id": RUN},
        "responded_by_user": {"id": user, "name": user} if user else None,
        "chosen_options": ["Approve"] if user else None,
        "responded_at": at if user else None,
    }


class Server:
    """Answers the token and hands the rest to a handler; remembers what was asked."""

    def __init__(self, handler: Handler, tokens: tuple[str, ...] = ("first", "second")) -> None:
        self.handler = handler
        self.tokens = list(tokens)
        self.valid = ""
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path == "/auth/token":
            self.valid = self.tokens.pop(0)
            return httpx.Response(201, json={"access_token": self.valid})
        if request.headers["authorization"] != f"Bearer {self.valid}":
            return httpx.Response(401, json={"detail": "expired"})
        return self.handler(request)

    def api(self) -> AirflowApi:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return AirflowApi(client, "http://airflow", "platform-ops", "secret")


async def test_votes_of_all_pages_come_oldest_first() -> None:
    everything = [
        detail(number, f"user{number}", f"2026-01-01T00:{59 - number:02}:00Z") for number in range(5)
    ]

    def handler(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        assert request.url.params["response_received"] == "true"
        return httpx.Response(200, json={"hitl_details": everything[offset : offset + 2], "total_entries": 5})

    votes = await Server(handler).api().votes(DAG, RUN)
    assert [vote.user for vote in votes] == ["user4", "user3", "user2", "user1", "user0"]
    assert votes[0] == Answer(
        "approve.vote_qa_4", "user4", "Approve", datetime(2026, 1, 1, 0, 55, tzinfo=UTC)
    )


async def test_open_seats_are_closed_but_for_the_one_that_rejected() -> None:
    closed: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            assert json.loads(request.content) == {"new_state": "failed"}
            closed.append(request.url.path)
            return httpx.Response(200, json={})
        return httpx.Response(200, json={"hitl_details": [detail(1), detail(2)], "total_entries": 2})

    await Server(handler).api().close_open_votes(DAG, RUN, except_task_id="approve.vote_qa_1")
    assert closed == [f"/api/v2/dags/{DAG}/dagRuns/{RUN}/taskInstances/approve.vote_qa_2"]


async def test_a_run_is_started_with_its_parameters() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content) == {"logical_date": None, "conf": {"release": "1.0.0-abc"}}
        return httpx.Response(200, json={"dag_run_id": RUN, "state": "queued", "conf": {}})

    run = await Server(handler).api().trigger(DAG, {"release": "1.0.0-abc"})
    assert (run.run_id, run.state) == (RUN, "queued")
    assert run.url == f"http://airflow/dags/{DAG}/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00"


async def test_an_expired_token_is_fetched_again_once() -> None:
    server = Server(lambda request: httpx.Response(200, json={"dag_runs": []}))
    api = server.api()
    await api.runs(DAG)
    server.valid = "nothing"
    await api.runs(DAG)
    assert [request.url.path for request in server.asked].count("/auth/token") == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        pytest.param(404, NotFound, id="no-such-dag"),
        pytest.param(409, Conflict, id="conflict"),
        pytest.param(400, Refused, id="bad-parameters"),
        pytest.param(403, Refused, id="not-allowed"),
        pytest.param(503, Unavailable, id="away"),
    ],
)
async def test_errors_carry_airflows_words(status: int, kind: type[OpsError]) -> None:
    server = Server(lambda request: httpx.Response(status, json={"detail": "because"}))
    with pytest.raises(kind, match="because"):
        await server.api().trigger(DAG, {})
