"""Delivery of pages: outbox → chat, seen there, marked sent. Whoever repeats it, the page arrives once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from platform_ops.core.errors import OpsError, Unavailable
from platform_ops.core.paging import Page, QueuedPage
from platform_ops.core.ports import Chat, Clock

from .ledger import Ledger
from .pauses import Pauses

log = logging.getLogger(__name__)

OVERDUE = timedelta(seconds=60)
"""A page that no task has sent within this time is sent by `ops controller`."""


class Pager:
    def __init__(self, ledger: Ledger, chat: Chat, clock: Clock) -> None:
        self._ledger = ledger
        self._chat = chat
        self._clock = clock
        self._pauses = Pauses(clock)

    async def deliver(self, key: str) -> str:
        """Post the page unless it is there, see it there, mark it sent; returns the chat's message id.

        Raises Unavailable when the chat does not answer or does not show the page: call it again.
        """
        queued = await self._ledger.outbox.get(key)
        if queued.sent_at is not None and queued.message_id is not None:
            return queued.message_id
        try:
            message_id = await self._post_and_see(queued.page)
        except OpsError as error:
            await self._ledger.outbox.mark_failed(key, str(error))
            raise
        await self._ledger.outbox.mark_sent(key, message_id)
        return message_id

    async def deliver_unsent(self, older_than: timedelta = OVERDUE) -> tuple[QueuedPage, ...]:
        """Send what waits for longer than that; returns what is still unsent: the outbox holds the error.

        Each failed try doubles the pause before the next (`adapters.pauses`).
        """
        overdue = await self._ledger.outbox.unsent(self._clock.now() - older_than)
        left = []
        for queued in overdue:
            key = queued.page.key
            if not self._pauses.over(key):
                left.append(queued)
                continue
            try:
                await self.deliver(key)
            except OpsError as error:
                log.warning("The page %s is not delivered yet: %s", key, error)
                self._pauses.failed(key)
                left.append(queued)
            else:
                self._pauses.succeeded(key)
        return tuple(left)

    async def _post_and_see(self, page: Page) -> str:
        """An answer that got lost on the way must not page twice: look before and after."""
        already = await self._chat.find(page.channel, page.key)
        if already is not None:
            return already
        await self._chat.post(page.channel, page.key, literal(page.text), blocks(page))
        seen = await self._chat.find(page.channel, page.key)
        if seen is None:
            raise Unavailable(f"{page.channel} took the page but does not show it")
        return seen


def blocks(page: Page) -> Sequence[Mapping[str, Any]]:
    """The page in Slack's Block Kit, at most 3000 characters a section
    (https://api.slack.com/reference/block-kit/blocks#section)."""
    parts = (
        f"*{literal(page.title)}*\n{literal(page.happened)}",
        f"*Done:* {literal(page.done)}",
        f"*To do now:* {literal(page.todo)}",
    )
    sections: list[Mapping[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": part[:3000]}} for part in parts
    ]
    if page.log_url:
        link = {"type": "mrkdwn", "text": f"<{page.log_url}|Log of the task that failed>"}
        sections.append({"type": "context", "elements": [link]})
    return sections


def literal(text: str) -> str:
    """The text with Slack's three control characters as entities: a file named `<!channel>` calls nobody
    (https://docs.slack.dev/messaging/formatting-message-text, "Escaping text")."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
