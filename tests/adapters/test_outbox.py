"""A page arrives once, whatever gets lost on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from fakes import ManualClock, MemoryLedger, seconds

from platform_ops.adapters.outbox import Pager, blocks
from platform_ops.core.errors import Refused, Unavailable
from platform_ops.core.paging import Page, page_key

PAGE = Page(
    key=page_key("llm-service", "production", "run-1"),
    service="llm-service",
    environment="production",
    title="llm-service 1.2.0 in production was rolled back",
    happened="error-rate: 30 of 400 requests",
    done="all traffic is back on blue",
    todo="read the log",
    log_url="http://airflow.example.com/log",
    channel="#llm-service-alerts",
)


class Channel:
    """A chat that may lose an answer, be away, or hide what it took."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.away = False
        self.loses_answer = False
        self.hides = False
        self.refuses = ""

    async def find(self, channel: str, page_id: str) -> str | None:
        if self.away:
            raise Unavailable("the chat does not answer")
        return f"ts-{page_id}" if page_id in self.messages and not self.hides else None

    async def post(self, channel: str, page_id: str, text: str, blocks: Sequence[Mapping[str, Any]]) -> str:
        if self.refuses:
            raise Refused(self.refuses)
        self.messages.append(page_id)
        if self.loses_answer:
            self.loses_answer = False
            raise Unavailable("the connection broke")
        return f"ts-{page_id}"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory(clock: ManualClock) -> MemoryLedger:
    return MemoryLedger(clock)


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
async def pager(memory: MemoryLedger, channel: Channel, clock: ManualClock) -> Pager:
    ledger = memory.connection()
    await ledger.outbox.enqueue(PAGE)
    return Pager(ledger, channel, clock)


async def test_a_page_is_posted_seen_and_marked(pager: Pager, memory: MemoryLedger, channel: Channel) -> None:
    await pager.deliver(PAGE.key)
    await pager.deliver(PAGE.key)
    assert channel.messages == [PAGE.key]
    assert memory.outbox_table.pages[PAGE.key].message_id == f"ts-{PAGE.key}"


async def test_an_answer_that_got_lost_does_not_page_twice(pager: Pager, channel: Channel) -> None:
    channel.loses_answer = True
    with pytest.raises(Unavailable):
        await pager.deliver(PAGE.key)
    await pager.deliver(PAGE.key)
    assert channel.messages == [PAGE.key]


async def test_a_page_that_the_chat_does_not_show_is_not_sent(
    pager: Pager, memory: MemoryLedger, channel: Channel
) -> None:
    channel.hides = True
    with pytest.raises(Unavailable, match="does not show it"):
        await pager.deliver(PAGE.key)
    assert memory.outbox_table.pages[PAGE.key].sent_at is None


async def test_the_standby_sends_only_what_is_overdue(
    pager: Pager, channel: Channel, clock: ManualClock
) -> None:
    clock.advance(seconds(59))
    assert await pager.deliver_unsent() == ()
    assert channel.messages == []
    clock.advance(seconds(1))
    assert await pager.deliver_unsent() == ()
    assert channel.messages == [PAGE.key]


async def test_a_chat_that_was_away_gets_the_page_later_and_once(
    pager: Pager, memory: MemoryLedger, channel: Channel, clock: ManualClock
) -> None:
    clock.advance(seconds(60))
    channel.away = True
    assert [queued.page for queued in await pager.deliver_unsent()] == [PAGE]
    assert memory.outbox_table.pages[PAGE.key].last_error == "the chat does not answer"
    channel.away = False
    assert [queued.page for queued in await pager.deliver_unsent()] == [PAGE], "the pause is not over"
    clock.advance(seconds(2))
    assert await pager.deliver_unsent() == ()
    assert channel.messages == [PAGE.key]


async def test_a_refusal_stays_in_the_outbox_with_its_reason(
    pager: Pager, memory: MemoryLedger, channel: Channel
) -> None:
    channel.refuses = "invalid_auth"
    with pytest.raises(Refused):
        await pager.deliver(PAGE.key)
    assert memory.outbox_table.pages[PAGE.key].last_error == "invalid_auth"


def test_a_page_says_what_happened_what_was_done_and_what_to_do() -> None:
    text = "".join(str(block) for block in blocks(PAGE))
    for part in (PAGE.title, PAGE.happened, PAGE.done, PAGE.todo, PAGE.log_url):
        assert part in text
        assert part in PAGE.text


def test_what_a_page_quotes_is_no_mark_up_and_mentions_nobody() -> None:
    page = replace(PAGE, happened="a secret in <!channel> & <https://example.com|here>")
    shown = [str(block["text"]["text"]) for block in blocks(page) if "text" in block]
    assert "a secret in &lt;!channel&gt; &amp; &lt;https://example.com|here&gt;" in shown[0]
    assert "<" not in "".join(shown)


def test_the_key_is_one_per_failed_run() -> None:
    same = page_key("llm-service", "production", "run-1")
    assert same == PAGE.key
    assert page_key("llm-service", "production", "run-2") != same
    assert page_key("llm-service", "production", "run-1", "held") != same
