"""The people of the demonstration: they use Airflow's REST API with their own logins, as they would use
its pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx

from local_platform.errors import PlatformError

FINISHED = ("success", "failed")
TRIES = 4
"""How often a question is asked that gets no answer in time."""
READING_TIME = timedelta(seconds=4)
"""Before an answer to a first question; when Airflow asks again, so much for each time."""


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG as the REST API shows it."""

    dag_id: str
    run_id: str
    state: str

    @property
    def finished(self) -> bool:
        return self.state in FINISHED


@dataclass
class Desk:
    """Airflow's REST API for several people, each with a token of their own."""

    url: str
    passwords: Mapping[str, str]
    client: httpx.AsyncClient
    _tokens: dict[str, str] = field(default_factory=dict)
    _asked: dict[tuple[str, str, str, int], datetime] = field(default_factory=dict)
    """Each question (DAG, run, task, try) and when it was first seen."""

    async def trigger(self, user: str, dag_id: str) -> DagRun:
        """Start a run by hand with the form's defaults."""
        answer = await self._ask(user, "POST", f"/dags/{quote(dag_id)}/dagRuns", json={"logical_date": None})
        return _run(answer)

    async def run(self, dag_id: str, run_id: str) -> DagRun:
        return _run(await self._ask("admin", "GET", f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id)}"))

    async def known_dags(self) -> frozenset[str]:
        answer = await self._ask("admin", "GET", "/dags?limit=500")
        return frozenset(dag["dag_id"] for dag in answer["dags"])

    async def runs(self, dag_id: str) -> list[DagRun]:
        """All runs of the DAG, newest first."""
        answer = await self._ask(
            "admin", "GET", f"/dags/{quote(dag_id)}/dagRuns?order_by=-run_after&limit=50"
        )
        return [_run(row) for row in answer["dag_runs"]]

    async def task_states(self, run: DagRun) -> dict[str, str]:
        path = f"/dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id)}/taskInstances?limit=200"
        answer = await self._ask("admin", "GET", path)
        return {row["task_id"]: row["state"] or "none" for row in answer["task_instances"]}

    async def open_seats(self, run: DagRun) -> list[dict[str, Any]]:
        """Approvals of the run that nobody has answered and that people have had a moment to read.

        An answer that comes before the scheduler has heard that the asking process ended fails the task
        (apache/airflow #71579). That takes two seconds, and more on a busy machine, so patience grows with
        each try; the question's `created_at` remains that of the first.
        """
        path = f"/dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id)}/hitlDetails?response_received=false"
        answer = await self._ask("admin", "GET", path)
        return [seat for seat in answer["hitl_details"] if self._is_read(seat["task_instance"])]

    def _is_read(self, task: Mapping[str, Any]) -> bool:
        if task["state"] != "awaiting_input":
            return False
        now, times = datetime.now(UTC), max(1, task["try_number"])
        asked = self._asked.setdefault((task["dag_id"], task["dag_run_id"], task["task_id"], times), now)
        return now - asked > READING_TIME * times

    async def approve(self, user: str, seat: Mapping[str, Any]) -> bool:
        """Answer one seat; False when Airflow is not ready to take the answer yet, or does not say so."""
        task = seat["task_instance"]
        index = task.get("map_index", -1)
        path = (
            f"/dags/{quote(task['dag_id'])}/dagRuns/{quote(task['dag_run_id'])}"
            f"/taskInstances/{quote(task['task_id'])}/{index}/hitlDetails"
        )
        body = {"chosen_options": ["Approve"], "params_input": {}}
        try:
            answer = await self._send(user, "PATCH", path, json=body)
        except httpx.TransportError:
            # The next look at the open seats tells whether it was taken.
            return False
        if answer.status_code == httpx.codes.CONFLICT:
            return False
        _require(answer)
        return True

    async def _ask(self, user: str, method: str, path: str, **body: Any) -> Any:
        """The JSON of the answer. A question that changes nothing is asked again when no answer comes.

        A busy machine is no reason to end a demonstration.
        """
        tries = TRIES if method == "GET" else 1
        for _ in range(tries):
            try:
                answer = await self._send(user, method, path, **body)
            except httpx.TransportError:
                continue
            _require(answer)
            return answer.json()
        raise PlatformError(f"Airflow did not answer {method} {path} ({tries} tried); look at `make status`")

    async def _send(self, user: str, method: str, path: str, **body: Any) -> httpx.Response:
        for _ in range(2):
            headers = {"Authorization": f"Bearer {await self._token(user)}"}
            answer = await self.client.request(method, f"{self.url}/api/v2{path}", headers=headers, **body)
            if answer.status_code != httpx.codes.UNAUTHORIZED:
                return answer
            self._tokens.pop(user, None)
        return answer

    async def _token(self, user: str) -> str:
        if user not in self._tokens:
            login = {"username": user, "password": self.passwords[user]}
            answer = await self.client.post(f"{self.url}/auth/token", json=login)
            _require(answer)
            self._tokens[user] = answer.json()["access_token"]
        return self._tokens[user]


def _run(row: Mapping[str, Any]) -> DagRun:
    return DagRun(row["dag_id"], row["dag_run_id"], row["state"])


def _require(answer: httpx.Response) -> None:
    if answer.is_error:
        request = answer.request
        raise PlatformError(
            f"Airflow refused {request.method} {request.url.path}: {answer.status_code} {answer.text[:300]}"
        )
