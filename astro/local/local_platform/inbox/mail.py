"""The mail server: takes every message that reaches it and delivers none."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

from local_platform.inbox.store import Store


class Mailbox:
    """Handler of aiosmtpd: 250 only after the mail is on disk."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        source = envelope.original_content or b""
        message = email.message_from_bytes(source, policy=email.policy.default)
        self._store.add_mail(
            sender=str(envelope.mail_from or ""),
            recipients=list(envelope.rcpt_tos),
            subject=str(message.get("Subject", "")),
            text=readable_text(message),
            source=source,
            now=self._clock(),
        )
        return "250 OK"


def readable_text(message: EmailMessage) -> str:
    """The part that a person reads: plain text, or HTML when there is nothing else."""
    part = message.get_body(preferencelist=("plain", "html"))
    return str(part.get_content()) if part is not None else ""
