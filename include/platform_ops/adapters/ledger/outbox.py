"""The outbox: pages wait here until they were seen in the chat (ADR-4)."""

from __future__ import annotations

from datetime import datetime

from platform_ops.core.errors import NotFound
from platform_ops.core.paging import Page, QueuedPage
from platform_ops.core.ports import Clock

from .database import Database, Row


class OutboxTable:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def enqueue(self, page: Page) -> bool:
        """False when a page with this key is there already; it stays as it is."""
        row = await self._database.one(
            "INSERT INTO outbox (key, service, environment, title, happened, done, todo, log_url, channel,"
            " queued_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (key) DO NOTHING RETURNING key",
            (
                page.key,
                page.service,
                page.environment,
                page.title,
                page.happened,
                page.done,
                page.todo,
                page.log_url,
                page.channel,
                self._clock.now(),
            ),
        )
        return row is not None

    async def get(self, key: str) -> QueuedPage:
        row = await self._database.one("SELECT * FROM outbox WHERE key = %s", (key,))
        if row is None:
            raise NotFound(f"The outbox holds no page {key}")
        return _queued(row)

    async def unsent(self, queued_before: datetime) -> tuple[QueuedPage, ...]:
        """Oldest first."""
        rows = await self._database.all(
            "SELECT * FROM outbox WHERE sent_at IS NULL AND queued_at <= %s ORDER BY queued_at LIMIT 100",
            (queued_before,),
        )
        return tuple(_queued(row) for row in rows)

    async def of(
        self, service: str, environment: str | None = None, limit: int = 50
    ) -> tuple[QueuedPage, ...]:
        """Newest first."""
        rows = await self._database.all(
            "SELECT * FROM outbox WHERE service = %(service)s"
            " AND (%(environment)s::text IS NULL OR environment = %(environment)s)"
            " ORDER BY queued_at DESC LIMIT %(limit)s",
            {"service": service, "environment": environment, "limit": limit},
        )
        return tuple(_queued(row) for row in rows)

    async def mark_sent(self, key: str, message_id: str) -> None:
        await self._database.one(
            "UPDATE outbox SET sent_at = %s, message_id = %s, attempts = attempts + 1, last_error = ''"
            " WHERE key = %s AND sent_at IS NULL",
            (self._clock.now(), message_id, key),
        )

    async def mark_failed(self, key: str, error: str) -> None:
        await self._database.one(
            "UPDATE outbox SET attempts = attempts + 1, last_error = %s WHERE key = %s AND sent_at IS NULL",
            (error[:500], key),
        )


def _queued(row: Row) -> QueuedPage:
    page = Page(
        row["key"],
        row["service"],
        row["environment"],
        row["title"],
        row["happened"],
        row["done"],
        row["todo"],
        row["log_url"],
        row["channel"],
    )
    return QueuedPage(
        page, row["queued_at"], row["sent_at"], row["message_id"], row["attempts"], row["last_error"]
    )
