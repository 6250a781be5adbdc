"""Airflow's public REST API under a service identity that is no approver.

Votes are read here and nowhere else (design, rule 2): people can rewrite XCom, run conf and asset events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from platform_ops.core.errors import Conflict, NotFound, OpsError, Refused, Unavailable

_PAGE = 100


@dataclass(frozen=True)
class Answer:
    """One answered human-in-the-loop task."""

    task_id: str
    user: str
    option: str
    at: datetime


@dataclass(frozen=True)
class DagRun:
    run_id: str
    state: str
    conf: Mapping[str, Any]
    started_at: datetime | None
    url: str


class AirflowApi:
    """Airflow at `url`; the token is fetched at the first request and after it expired."""

    def __init__(self, client: httpx.AsyncClient, url: str, user: str, password: str) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._user = user
        self._password = password
        self._token = ""
        self._signing_in = asyncio.Lock()

    async def signed_in(self) -> str:
        """The user whose password Airflow accepts now: who it is, not who it says it is. Refused
        otherwise."""
        await self._sign_in(again=True)
        return self._user

    async def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> DagRun:
        """Start a run. NotFound when the DAG does not exist (yet), Refused when its parameters do not fit."""
        body = {"logical_date": None, "conf": dict(conf)}
        return self._run(dag_id, await self._call("POST", f"dags/{quote(dag_id)}/dagRuns", json=body))

    async def start(self, dag_id: str, run_id: str) -> None:
        """Start a run under this id, with the form's defaults; one that is there already is fine.

        Raises NotFound when the DAG does not exist (yet), Unavailable when Airflow does not answer.
        """
        body = {"dag_run_id": run_id, "logical_date": None}
        try:
            await self._call("POST", f"dags/{quote(dag_id, safe='')}/dagRuns", json=body)
        except Conflict:
            await self._call("GET", _run_path(dag_id, run_id))

    async def runs(self, dag_id: str, limit: int = 10, states: Sequence[str] = ()) -> list[DagRun]:
        """The newest runs first."""
        query: list[tuple[str, str]] = [("order_by", "-run_after"), ("limit", str(limit))]
        query += [("state", state) for state in states]
        answer = await self._call("GET", f"dags/{quote(dag_id)}/dagRuns", params=query)
        return [self._run(dag_id, one) for one in answer["dag_runs"]]

    async def stop(self, run: DagRun, dag_id: str) -> None:
        """Mark a run failed: tasks that wait or run are ended."""
        await self._call("PATCH", _run_path(dag_id, run.run_id), json={"state": "failed"})

    async def votes(self, dag_id: str, run_id: str) -> list[Answer]:
        """What people answered in the run's approval tasks, oldest first."""
        details = await self._details(dag_id, run_id, received=True)
        answers = [
            Answer(
                task_id=one["task_instance"]["task_id"],
                user=one["responded_by_user"]["id"],
                option=", ".join(one["chosen_options"]),
                at=datetime.fromisoformat(one["responded_at"]),
            )
            for one in details
            if one.get("responded_by_user")
        ]
        return sorted(answers, key=lambda answer: answer.at)

    async def close_open_votes(self, dag_id: str, run_id: str, *, except_task_id: str) -> None:
        """Fail the seats that nobody answered, so that nobody is asked in vain."""
        for one in await self._details(dag_id, run_id, received=False):
            task_id = one["task_instance"]["task_id"]
            if task_id != except_task_id:
                path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id, safe='')}"
                await self._call("PATCH", path, json={"new_state": "failed"})

    async def _details(self, dag_id: str, run_id: str, *, received: bool) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            query = {
                "response_received": str(received).lower(),
                "limit": str(_PAGE),
                "offset": str(len(found)),
            }
            answer = await self._call("GET", f"{_run_path(dag_id, run_id)}/hitlDetails", params=query)
            found += answer["hitl_details"]
            if len(found) >= answer["total_entries"] or not answer["hitl_details"]:
                return found

    def _run(self, dag_id: str, one: Mapping[str, Any]) -> DagRun:
        started = one.get("start_date")
        return DagRun(
            run_id=one["dag_run_id"],
            state=one["state"],
            conf=one.get("conf") or {},
            started_at=datetime.fromisoformat(started) if started else None,
            url=f"{self._url}/dags/{quote(dag_id)}/runs/{quote(one['dag_run_id'])}",
        )

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer = await self._send(method, f"{self._url}/api/v2/{path}", **request)
        if answer.status_code == 401:
            await self._sign_in(again=True)
            answer = await self._send(method, f"{self._url}/api/v2/{path}", **request)
        if not answer.is_success:
            raise _error(f"Airflow: {method} {path}", answer)
        body: dict[str, Any] = answer.json()
        return body

    async def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        await self._sign_in()
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            return await self._client.request(method, url, headers=headers, **request)
        except httpx.HTTPError as lost:
            why = str(lost) or type(lost).__name__
            raise Unavailable(f"Airflow at {self._url} does not answer: {why}") from lost

    async def _sign_in(self, *, again: bool = False) -> None:
        async with self._signing_in:
            if self._token and not again:
                return
            who = {"username": self._user, "password": self._password}
            try:
                answer = await self._client.post(f"{self._url}/auth/token", json=who)
            except httpx.HTTPError as lost:
                why = str(lost) or type(lost).__name__
                raise Unavailable(f"Airflow at {self._url} does not answer: {why}") from lost
            if not answer.is_success:
                raise _error(f"Airflow refuses {self._user} (check PLATFORM_OPS_AIRFLOW_PASSWORD)", answer)
            self._token = answer.json()["access_token"]


def _run_path(dag_id: str, run_id: str) -> str:
    return f"dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"


def _error(what: str, answer: httpx.Response) -> OpsError:
    try:
        detail = answer.json().get("detail", "")
    except (ValueError, AttributeError):
        detail = ""
    text = f"{what}: {detail or f'HTTP {answer.status_code}'}"
    if answer.status_code == 404:
        return NotFound(text)
    if answer.status_code == 409:
        return Conflict(text)
    if answer.status_code == 429 or answer.status_code >= 500:
        return Unavailable(text)
    return Refused(text)
