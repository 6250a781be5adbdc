"""The chat port: one contract for the fake and for Slack's protocol (the inbox), then Slack's own errors."""

from __future__ import annotations

import httpx
import pytest
from conftest import Servers
from fakes_outside import MemoryChat

from platform_ops.adapters.slack import SlackChat
from platform_ops.core.errors import Refused, Unavailable
from platform_ops.core.ports import Chat

CHANNEL = "#llm-service-alerts"


@pytest.fixture(params=["fake", "slack"])
def chat(request: pytest.FixtureRequest, http: httpx.AsyncClient) -> Chat:
    if request.param == "fake":
        return MemoryChat(CHANNEL, "#fm-llm-solver-alerts")
    servers: Servers = request.getfixturevalue("servers")
    return SlackChat(http, servers["SLACK_TOKEN"], servers["SLACK_API_URL"], page_size=2)


async def test_a_page_that_was_posted_is_found_by_its_id(chat: Chat, request: pytest.FixtureRequest) -> None:
    page = request.node.name
    assert await chat.find(CHANNEL, page) is None
    message = await chat.post(CHANNEL, page, "It failed", [])
    assert await chat.find(CHANNEL, page) == message
    assert await chat.find(CHANNEL, f"{page}-other") is None


async def test_a_page_is_found_behind_newer_messages(chat: Chat, request: pytest.FixtureRequest) -> None:
    page = request.node.name
    message = await chat.post(CHANNEL, page, "It failed", [])
    for number in range(3):
        await chat.post(CHANNEL, f"{page}-{number}", "Another", [])
    assert await chat.find(CHANNEL, page) == message


async def test_a_page_is_found_in_its_own_channel_only(chat: Chat, request: pytest.FixtureRequest) -> None:
    page = request.node.name
    await chat.post(CHANNEL, page, "It failed", [])
    assert await chat.find("#fm-llm-solver-alerts", page) is None


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        pytest.param({"json": {"ok": False, "error": "invalid_auth"}}, Refused, "SLACK_TOKEN", id="token"),
        pytest.param({"json": {"ok": False, "error": "not_in_channel"}}, Refused, "invite", id="not-member"),
        pytest.param({"json": {"ok": False, "error": "channel_not_found"}}, Refused, "catalog", id="channel"),
        pytest.param({"json": {"ok": False, "error": "new_error"}}, Refused, "new_error", id="unknown"),
        pytest.param(
            {"json": {"ok": False, "error": "internal_error"}}, Unavailable, "internal_error", id="internal"
        ),
        pytest.param(
            {"status_code": 429, "headers": {"Retry-After": "30"}}, Unavailable, "in 30 s", id="too-many"
        ),
        pytest.param({"status_code": 503, "text": "sorry"}, Unavailable, "HTTP 503", id="away"),
    ],
)
async def test_errors_say_whether_to_try_again_and_what_to_do(
    answer: dict[str, object], kind: type[Exception], said: str
) -> None:
    filled = httpx.Response(**{"status_code": 200, **answer})  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: filled)) as client:
        with pytest.raises(kind, match=said):
            await SlackChat(client, "xoxb-test").post(CHANNEL, "page", "text", [])
