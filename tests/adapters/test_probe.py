"""The probe against a real HTTP server that answers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from aiohttp import web

from platform_ops.adapters.probe import HttpProbe
from platform_ops.core.errors import Unavailable
from platform_ops.core.release import Colour, Router, Target

TARGET = Target("web", "production", "production", "web-prod", "https://web.example.com")


@pytest.fixture
async def gateway() -> AsyncIterator[str]:
    """Echoes the request; /colour/X says which colour served; /slow never ends; /large is too long."""

    async def echo(request: web.Request) -> web.Response:
        seen = {
            "host": request.headers["host"],
            "method": request.method,
            "path": request.path_qs,
            "body": (await request.read()).decode(),
            **{
                name.lower(): value
                for name, value in request.headers.items()
                if name.lower().startswith("x-")
            },
        }
        return web.json_response(seen)

    async def colour(request: web.Request) -> web.Response:
        return web.Response(headers={"x-platform-colour": request.match_info["name"]}, status=503)

    async def slow(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"begun")
        await asyncio.Event().wait()
        return answer

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * (3 << 20))

    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    app = web.Application()
    app.router.add_get("/colour/{name}", colour)
    app.router.add_get("/slow", slow)
    app.router.add_get("/large", large)
    app.router.add_get("/moved", moved)
    app.router.add_route("*", "/{rest:.*}", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
def probe(http: httpx.AsyncClient, gateway: str) -> HttpProbe:
    return HttpProbe(http, gateway)


async def test_a_request_goes_to_the_gateway_under_the_services_host(probe: HttpProbe) -> None:
    answer = await probe.request(TARGET, "/health?full=1")
    seen = json.loads(answer.body)
    assert answer.status == 200
    assert (seen["host"], seen["path"], seen["method"]) == ("web.example.com", "/health?full=1", "GET")
    assert "x-platform-colour" not in seen


async def test_a_colour_is_asked_for_by_its_header(probe: HttpProbe) -> None:
    answer = await probe.request(TARGET, "/health", colour=Colour.GREEN)
    assert json.loads(answer.body)["x-platform-colour"] == "green"


async def test_a_post_carries_body_and_headers(probe: HttpProbe) -> None:
    answer = await probe.request(
        TARGET, "/analyze", method="POST", body=b'{"a": 1}', headers={"X-Request-Id": "7"}
    )
    seen = json.loads(answer.body)
    assert (seen["method"], seen["body"], seen["x-request-id"]) == ("POST", '{"a": 1}', "7")


async def test_a_secret_header_is_read_from_the_environment(
    probe: HttpProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_KEY", "from-the-environment")
    answer = await probe.request(TARGET, "/analyze", headers={"X-API-KEY": "env:WEB_KEY"})
    assert json.loads(answer.body)["x-api-key"] == "from-the-environment"


async def test_a_secret_that_is_not_there_is_no_answer_and_says_which(
    probe: HttpProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEB_KEY", raising=False)
    answer = await probe.request(TARGET, "/analyze", headers={"X-API-KEY": "env:WEB_KEY"})
    assert answer.status == 0
    assert "WEB_KEY is not set" in answer.error


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        pytest.param("blue", Colour.BLUE, id="blue"),
        pytest.param("green", Colour.GREEN, id="green"),
        pytest.param("purple", None, id="unknown"),
    ],
)
async def test_the_colour_that_served_is_known_whatever_the_status(
    probe: HttpProbe, name: str, colour: Colour | None
) -> None:
    answer = await probe.request(TARGET, f"/colour/{name}")
    assert (answer.status, answer.colour) == (503, colour)


BEHIND_SERVICE = replace(TARGET, router=Router.SERVICE)


async def test_behind_a_service_the_endpoints_tell_the_colour_of_answers_that_came_before(
    http: httpx.AsyncClient, gateway: str
) -> None:
    looks: list[Target] = []

    async def served_colour(target: Target) -> Colour | None:
        looks.append(target)
        return Colour.GREEN

    probe = HttpProbe(http, gateway, served_colour)
    answers = await asyncio.gather(*(probe.request(BEHIND_SERVICE, "/health") for _ in range(20)))
    assert {answer.colour for answer in answers} == {Colour.GREEN}
    assert 1 <= len(looks) < 20
    named = await probe.request(BEHIND_SERVICE, "/colour/blue")
    assert named.colour is Colour.BLUE, "a response that names its colour is believed"
    assert (await probe.request(TARGET, "/health")).colour is None


async def test_endpoints_that_cannot_be_asked_tell_no_colour(http: httpx.AsyncClient, gateway: str) -> None:
    async def away(target: Target) -> Colour | None:
        raise Unavailable("the API server does not answer")

    assert (await HttpProbe(http, gateway, away).request(BEHIND_SERVICE, "/health")).colour is None


async def test_an_answer_that_does_not_end_in_time_is_no_answer(probe: HttpProbe) -> None:
    answer = await probe.request(TARGET, "/slow", timeout=timedelta(milliseconds=200))
    assert (answer.status, answer.error) == (0, "no answer within 0.2 s")


async def test_a_large_answer_is_read_up_to_a_limit(probe: HttpProbe) -> None:
    assert len((await probe.request(TARGET, "/large")).body) == 1 << 20


async def test_a_redirect_is_what_the_service_answered(probe: HttpProbe) -> None:
    assert (await probe.request(TARGET, "/moved")).status == 302


async def test_nobody_there_is_no_answer_with_the_reason(http: httpx.AsyncClient) -> None:
    answer = await HttpProbe(http, "http://127.0.0.1:1").request(TARGET, "/health")
    assert answer.status == 0
    assert "attempts failed" in answer.error or "refused" in answer.error.lower()
