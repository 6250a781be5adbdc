"""A page: what a person reads at 3 a.m. It says what happened, what was done, what to do now, and where the log is."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Page:
    """One row of the outbox. Two pages with the same key are the same page: it arrives once."""

    key: str
    service: str
    environment: str
    title: str
    happened: str
    done: str
    todo: str
    log_url: str
    channel: str

    @property
    def text(self) -> str:
        lines = [self.title, self.happened, f"Done: {self.done}", f"To do: {self.todo}"]
        return "\n".join([*lines, f"Log: {self.log_url}"] if self.log_url else lines)


def page_key(service: str, environment: str, run_id: str, kind: str = "failed") -> str:
    """The key of the one page of a failed run; `held` is the page of a rollout that waits for a decision."""
    named = "/".join((service, environment, run_id, kind))
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"platform-ops:page:{named}"))


@dataclass(frozen=True)
class QueuedPage:
    """A page in the outbox. `message_id` is the chat's, once it was seen there."""

    page: Page
    queued_at: datetime
    sent_at: datetime | None = None
    message_id: str | None = None
    attempts: int = 0
    last_error: str = ""
