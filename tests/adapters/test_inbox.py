"""The inbox over its real protocols: HTTP as clients of Slack and PagerDuty speak it, and SMTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from local_platform.inbox.app import create_app
from local_platform.inbox.page import mrkdwn
from local_platform.inbox.slack import RateLimit
from local_platform.inbox.store import Store

Json = dict[str, Any]

TOKEN = "xoxb-test"
PAGE = {"event_type": "page", "event_payload": {"page_id": "p-1"}}


class Client:
    """A Slack client as small as can be, with the clock of the server."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base
        self.now = 1_700_000_000.0

    async def call(self, method: str, token: str = TOKEN, **arguments: Any) -> Json:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.post(
            f"{self.base}/api/{method}", json=arguments, headers=headers
        ) as response:
            assert response.status == 200
            return dict(await response.json())

    async def post(self, text: str = "hello", **more: Any) -> Json:
        return await self.call("chat.postMessage", channel="#alerts", text=text, **more)

    async def history(self, **arguments: Any) -> list[Json]:
        channel = (await self.call("conversations.list"))["channels"][0]["id"]
        return list((await self.call("conversations.history", channel=channel, **arguments))["messages"])

    async def messages(self, **query: str) -> list[Json]:
        async with self.session.get(f"{self.base}/api/messages", params=query) as response:
            return list((await response.json())["messages"])

    async def page(self) -> str:
        async with self.session.get(f"{self.base}/") as response:
            assert response.content_type == "text/html"
            return await response.text()


@asynccontextmanager
async def serving(data: Path, limit: RateLimit | None = None) -> AsyncIterator[Client]:
    store = Store(data / "inbox.sqlite")
    store.add_channel("alerts", 0)
    store.add_user("oncall@example.com")
    async with aiohttp.ClientSession() as session:
        client = Client(session, "")
        runner = web.AppRunner(create_app(store, TOKEN, lambda: client.now, limit))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        client.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield client
        finally:
            await runner.cleanup()
            store.close()


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(tmp_path) as client:
        yield client


async def test_a_posted_message_is_found_in_the_history_with_its_metadata(inbox: Client) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*rolled back*"}}]
    posted = await inbox.post("rolled back", blocks=blocks, metadata=PAGE)
    assert posted["ok"] is True
    assert posted["message"]["text"] == "rolled back"
    assert posted["message"]["ts"] == posted["ts"]
    (found,) = await inbox.history(include_all_metadata=True)
    assert (found["ts"], found["metadata"], found["blocks"]) == (posted["ts"], PAGE, blocks)


async def test_metadata_is_shown_only_to_who_asks_for_it(inbox: Client) -> None:
    await inbox.post(metadata=PAGE)
    (found,) = await inbox.history()
    assert "metadata" not in found


async def test_a_form_with_json_fields_is_the_same_as_a_json_body(inbox: Client) -> None:
    form = {
        "token": TOKEN,
        "channel": "alerts",
        "blocks": '[{"type": "divider"}]',
        "metadata": json.dumps(PAGE),
    }
    async with inbox.session.post(f"{inbox.base}/api/chat.postMessage", data=form) as response:
        answer = await response.json()
    assert answer["ok"] is True
    assert answer["message"]["blocks"] == [{"type": "divider"}]
    assert answer["message"]["metadata"] == PAGE


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        pytest.param(
            "chat.postMessage", {"channel": "#nowhere", "text": "x"}, "channel_not_found", id="channel"
        ),
        pytest.param("chat.postMessage", {"channel": "#alerts"}, "no_text", id="nothing to say"),
        pytest.param(
            "chat.postMessage", {"channel": "#alerts", "text": "x" * 40_001}, "msg_too_long", id="too long"
        ),
        pytest.param(
            "chat.postMessage", {"channel": "#alerts", "blocks": "["}, "invalid_blocks_format", id="blocks"
        ),
        pytest.param(
            "chat.postMessage",
            {"channel": "#alerts", "blocks": [{}]},
            "invalid_blocks",
            id="block without type",
        ),
        pytest.param(
            "chat.postMessage",
            {"channel": "#alerts", "text": "x", "metadata": {"event_type": "page"}},
            "invalid_metadata_format",
            id="metadata",
        ),
        pytest.param(
            "chat.postMessage",
            {"channel": "#alerts", "text": "x", "thread_ts": "1.000000"},
            "thread_not_found",
            id="thread",
        ),
        pytest.param("conversations.history", {"channel": "alerts"}, "channel_not_found", id="id only"),
        pytest.param("users.lookupByEmail", {"email": "who@example.com"}, "users_not_found", id="user"),
        pytest.param("conversations.create", {"name": "alerts"}, "name_taken", id="name taken"),
        pytest.param("conversations.create", {"name": "Not This"}, "invalid_name_specials", id="name"),
        pytest.param("chat.sing", {}, "unknown_method", id="method"),
    ],
)
async def test_slack_errors_are_answers_with_a_code(
    inbox: Client, method: str, arguments: Json, error: str
) -> None:
    answer = await inbox.call(method, **arguments)
    assert (answer["ok"], answer["error"]) == (False, error)


@pytest.mark.parametrize(("token", "error"), [("xoxb-other", "invalid_auth"), ("", "not_authed")])
async def test_without_the_valid_token_nothing_is_taken(inbox: Client, token: str, error: str) -> None:
    answer = await inbox.call("chat.postMessage", token=token, channel="#alerts", text="x")
    assert answer == {"ok": False, "error": error}
    assert await inbox.history() == []


async def test_too_many_messages_are_answered_with_429_and_a_time_to_wait(tmp_path: Path) -> None:
    async with serving(tmp_path, RateLimit(rate=0.5, burst=2)) as inbox:
        for _ in range(2):
            await inbox.post()
        request = {"channel": "#alerts", "text": "one more"}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{inbox.base}/api/chat.postMessage"
        async with inbox.session.post(url, json=request, headers=headers) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "2")
            assert await response.json() == {"ok": False, "error": "ratelimited"}
        inbox.now += 2
        assert (await inbox.post("one more"))["ok"] is True


async def test_an_update_changes_the_message_and_says_that_it_was_edited(inbox: Client) -> None:
    posted = await inbox.post("rolling back", metadata=PAGE)
    updated = await inbox.call("chat.update", channel=posted["channel"], ts=posted["ts"], text="rolled back")
    assert (updated["ok"], updated["text"]) == (True, "rolled back")
    (found,) = await inbox.history(include_all_metadata=True)
    assert (found["text"], found["metadata"]) == ("rolled back", PAGE)
    assert found["edited"]["user"] == found["user"]


async def test_replies_are_in_their_thread_and_not_in_the_channel(inbox: Client) -> None:
    posted = await inbox.post("page")
    reply = await inbox.post("traffic is back", thread_ts=posted["ts"])
    (parent,) = await inbox.history()
    assert (parent["ts"], parent["reply_count"], parent["latest_reply"]) == (posted["ts"], 1, reply["ts"])
    thread = await inbox.call("conversations.replies", channel=posted["channel"], ts=posted["ts"])
    assert [message["text"] for message in thread["messages"]] == ["page", "traffic is back"]


async def test_history_comes_newest_first_in_pages_and_between_times(inbox: Client) -> None:
    stamps = []
    for number in range(5):
        inbox.now += 1
        stamps.append((await inbox.post(str(number)))["ts"])
    channel = (await inbox.call("conversations.list"))["channels"][0]["id"]
    first = await inbox.call("conversations.history", channel=channel, limit=3)
    assert [message["text"] for message in first["messages"]] == ["4", "3", "2"]
    assert first["has_more"] is True
    cursor = first["response_metadata"]["next_cursor"]
    rest = await inbox.call("conversations.history", channel=channel, limit=3, cursor=cursor)
    assert ([message["text"] for message in rest["messages"]], rest["has_more"]) == (["1", "0"], False)
    newer = await inbox.history(oldest=stamps[3])
    assert [message["text"] for message in newer] == ["4"]
    assert [message["text"] for message in await inbox.history(oldest=stamps[3], inclusive=True)] == [
        "4",
        "3",
    ]


async def test_two_messages_at_the_same_moment_have_different_stamps(inbox: Client) -> None:
    first, second = await inbox.post(), await inbox.post()
    assert float(first["ts"]) < float(second["ts"])


async def test_a_new_channel_can_be_made_and_posted_to(inbox: Client) -> None:
    made = await inbox.call("conversations.create", name="third-service")
    answer = await inbox.call("chat.postMessage", channel="#third-service", text="hello")
    assert answer["channel"] == made["channel"]["id"]


async def test_a_user_is_found_by_mail(inbox: Client) -> None:
    answer = await inbox.call("users.lookupByEmail", email="oncall@example.com")
    assert answer["user"]["profile"]["email"] == "oncall@example.com"


def event(action: str, **more: Any) -> Json:
    payload = {"summary": "llm-service is down", "source": "production", "severity": "critical"}
    return {"routing_key": "k" * 32, "event_action": action, "payload": payload, **more}


async def enqueue(inbox: Client, body: Json) -> tuple[int, Json]:
    async with inbox.session.post(f"{inbox.base}/v2/enqueue", json=body) as response:
        return response.status, await response.json()


async def test_a_pagerduty_event_is_taken_and_its_dedup_key_returned(inbox: Client) -> None:
    assert await enqueue(inbox, event("trigger", dedup_key="r-1")) == (
        202,
        {"status": "success", "message": "Event processed", "dedup_key": "r-1"},
    )
    _, made = await enqueue(inbox, event("trigger"))
    assert len(made["dedup_key"]) == 32


async def test_events_with_one_dedup_key_are_one_incident_until_it_is_resolved(inbox: Client) -> None:
    for action in ("trigger", "trigger", "acknowledge", "resolve", "trigger"):
        await enqueue(inbox, event(action, dedup_key="r-1"))
    found = await inbox.messages(kind="pagerduty", channel="r-1")
    assert [entry["body"]["incident_status"] for entry in found] == ["triggered", *["resolved"] * 4]
    assert "k" * 32 not in json.dumps(found)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"routing_key": "short"}, "Length of 'routing_key' is incorrect (should be 32 characters)"),
        ({"event_action": "shout"}, "'event_action' is not one of trigger, acknowledge, resolve"),
        ({"payload": {"summary": "x", "source": "y"}}, "'payload.severity' is missing or blank"),
        ({"event_action": "resolve"}, "'dedup_key' is missing or blank"),
    ],
)
async def test_a_bad_pagerduty_event_is_refused_with_what_is_wrong(
    inbox: Client, change: Json, problem: str
) -> None:
    status, answer = await enqueue(inbox, {**event("trigger"), **change})
    assert (status, answer["status"], answer["errors"]) == (400, "invalid event", [problem])


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("*done*", "<b>done</b>"),
        ("a &lt; b &amp; c", "a &lt; b &amp; c"),
        ("a < b", "a &lt; b"),
        (
            "<#C123|alerts> *<https://a.example.com|log>*",
            'alerts <b><a href="https://a.example.com" rel="noreferrer">log</a></b>',
        ),
        ("<script>alert(1)</script>", "scriptalert(1)/script"),
        (
            "<https://a.example.com/x?a=1&amp;b=2|the *log*>",
            '<a href="https://a.example.com/x?a=1&amp;b=2" rel="noreferrer">the *log*</a>',
        ),
        (
            "see http://127.0.0.1:8080/a_b_c.",
            'see <a href="http://127.0.0.1:8080/a_b_c" rel="noreferrer">http://127.0.0.1:8080/a_b_c</a>.',
        ),
        ("<javascript:alert(1)|x>", "x"),
        ("`<b>`", "<code>&lt;b&gt;</code>"),
        ("<!here> now", "here now"),
    ],
)
def test_slack_mark_up_is_shown_and_nothing_else_gets_through(text: str, rendered: str) -> None:
    assert mrkdwn(text) == rendered


async def test_the_page_shows_what_was_received_with_links(inbox: Client) -> None:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "<Rolled back>"}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Service*\nllm-service"}]},
        {
            "type": "actions",
            "elements": [
                {
                    "type": "button",
                    "text": {"type": "plain_text", "text": "Open the log"},
                    "url": "https://air/log",
                }
            ],
        },
    ]
    await inbox.post("rolled back", blocks=blocks)
    await enqueue(
        inbox, event("trigger", dedup_key="r-1", links=[{"href": "https://air/run", "text": "The run"}])
    )
    page = await inbox.page()
    assert "<h2>&lt;Rolled back&gt;</h2>" in page
    assert "<b>Service</b><br>llm-service" in page
    assert '<a class="button" href="https://air/log" rel="noreferrer">Open the log</a>' in page
    assert '<a class="button" href="https://air/run" rel="noreferrer">The run</a>' in page


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


@asynccontextmanager
async def process(data: Path, port: int, smtp_port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "local_platform.inbox",
        "--data", str(data), "--port", str(port), "--smtp-port", str(smtp_port),
        env={**os.environ, "INBOX_SLACK_TOKEN": TOKEN},
    )  # fmt: skip
    try:
        await listening(port)
        yield running
    finally:
        if running.returncode is None:
            running.send_signal(signal.SIGTERM)
        await running.wait()


async def listening(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    port, smtp_port = free_ports()
    async with aiohttp.ClientSession() as session:
        client = Client(session, f"http://127.0.0.1:{port}")
        async with process(tmp_path, port, smtp_port) as running:
            posted = await client.call("chat.postMessage", channel="#llm-service-alerts", text="page")
            await enqueue(client, event("trigger", dedup_key="r-1"))
            await asyncio.to_thread(send_mail, smtp_port)
            running.kill()
            await running.wait()
        async with process(tmp_path, port, smtp_port) as running:
            by_kind = {entry["kind"]: entry for entry in await client.messages()}
            running.send_signal(signal.SIGTERM)
            assert await running.wait() == 0
    assert by_kind["slack"]["body"]["ts"] == posted["ts"]
    assert by_kind["pagerduty"]["channel"] == "r-1"
    assert (by_kind["mail"]["channel"], by_kind["mail"]["title"]) == ("oncall@example.com", "Rolled back: é")
    assert by_kind["mail"]["text"].strip() == "See https://air/log"


def send_mail(port: int) -> None:
    message = EmailMessage()
    message["From"], message["To"] = "platform@example.com", "oncall@example.com"
    message["Subject"] = "Rolled back: é"
    message.set_content("See https://air/log")
    with smtplib.SMTP("127.0.0.1", port) as server:
        server.send_message(message)
