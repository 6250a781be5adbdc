"""When the people of the demonstration answer: a moment after each question, later when asked again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from local_platform.demo import people
from local_platform.demo.people import TRIES, DagRun, Desk
from local_platform.errors import PlatformError

RUN = DagRun("promote", "one", "running")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """The time that the people's clock shows, to be moved."""
    moved = [timedelta()]
    start = people.datetime.now(people.UTC)

    class Clock(people.datetime):  # type: ignore[name-defined, misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return start + moved[0]

    monkeypatch.setattr(people, "datetime", Clock)
    return moved


async def seen(desk: Desk) -> int:
    return len(await desk.open_seats(RUN))


async def test_a_question_is_read_before_it_is_answered_and_longer_when_it_comes_again(
    now: list[timedelta],
) -> None:
    task = {"dag_id": "promote", "dag_run_id": "one", "task_id": "vote", "try_number": 1}

    def airflow(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        return httpx.Response(200, json={"hitl_details": [{"task_instance": task}]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(airflow)) as client:
        desk = Desk("http://airflow", {"admin": "p"}, client)
        task["state"] = "running"
        assert await seen(desk) == 0
        for number in (1, 2, 3):
            task |= {"state": "awaiting_input", "try_number": number}
            assert await seen(desk) == 0
            now[0] += people.READING_TIME * number
            assert await seen(desk) == 0
            now[0] += timedelta(milliseconds=1)
            assert await seen(desk) == 1


async def test_a_question_that_gets_no_answer_in_time_is_asked_again_and_a_request_is_not() -> None:
    asked: list[str] = []
    silent = TRIES - 1

    def airflow(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        asked.append(request.method)
        if len(asked) <= silent:
            raise httpx.ReadTimeout("busy", request=request)
        return httpx.Response(200, json={"dags": [{"dag_id": "promote"}]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(airflow)) as client:
        desk = Desk("http://airflow", {"admin": "p"}, client)
        assert await desk.known_dags() == {"promote"}
        assert asked == ["GET"] * TRIES
        asked.clear()
        with pytest.raises(PlatformError, match="did not answer POST"):
            await desk.trigger("admin", "promote")
        assert asked == ["POST"]
        asked.clear()
        silent = TRIES
        with pytest.raises(PlatformError, match="make status"):
            await desk.known_dags()


async def test_an_approval_without_an_answer_is_looked_at_again() -> None:
    def airflow(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        raise httpx.ReadTimeout("busy", request=request)

    task = {"dag_id": "promote", "dag_run_id": "one", "task_id": "vote"}
    async with httpx.AsyncClient(transport=httpx.MockTransport(airflow)) as client:
        desk = Desk("http://airflow", {"qa": "p"}, client)
        assert await desk.approve("qa", {"task_instance": task}) is False
