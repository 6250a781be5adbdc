"""The inbox: what Slack, PagerDuty and the mail server would have received."""

from __future__ import annotations

import smtplib
import sys
from typing import ClassVar

from local_platform.errors import NotReadyError
from local_platform.product import slack_token
from local_platform.services.http import get
from local_platform.services.part import Command, Part


class Inbox(Part):
    name: ClassVar[str] = "inbox"
    ports: ClassVar[tuple[str, ...]] = ("inbox", "inbox-smtp")

    def command(self) -> Command:
        options = [
            f"--data={self.platform.layout.data(self.name)}",
            f"--port={self.platform.ports['inbox']}",
            f"--smtp-port={self.platform.ports['inbox-smtp']}",
        ]
        return Command(
            [sys.executable, "-m", "local_platform.inbox", *options],
            {"INBOX_SLACK_TOKEN": slack_token(self.platform)},
        )

    def probe(self) -> None:
        get(self.platform.url("inbox") + "/")
        try:
            with smtplib.SMTP("127.0.0.1", self.platform.ports["inbox-smtp"], timeout=2) as mail:
                mail.noop()
        except (OSError, smtplib.SMTPException) as error:
            raise NotReadyError(f"SMTP: {error}") from error
