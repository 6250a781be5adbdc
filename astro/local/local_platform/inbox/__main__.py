"""`python -m local_platform.inbox`: Slack, PagerDuty and SMTP for the local platform."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from aiohttp import web
from aiosmtpd.smtp import SMTP

from local_platform.inbox.app import create_app
from local_platform.inbox.mail import Mailbox
from local_platform.inbox.store import Store

CHANNELS = ("llm-service-alerts", "fm-llm-solver-alerts", "platform-alerts")
USERS = ("developer", "qa", "senior1", "senior2", "senior3", "senior4", "devops", "oncall")
MAIL_DOMAIN = "example.com"
TOKEN_VARIABLE = "INBOX_SLACK_TOKEN"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local_platform.inbox", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="folder of what was received")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", required=True, type=int, help="port of Slack, PagerDuty and the page")
    parser.add_argument("--smtp-port", required=True, type=int, help="port of the mail server")
    parser.add_argument(
        "--slack-token-file",
        type=Path,
        help=f"file with the bot token that is valid; or ${TOKEN_VARIABLE}; or one made in DATA/slack-token",
    )
    parser.add_argument("--channel", action="append", default=[], help="a further Slack channel")
    parser.add_argument("--user", action="append", default=[], help="e-mail of a further Slack user")
    return parser.parse_args()


def slack_token(options: argparse.Namespace) -> str:
    """The valid bot token: given in a file or the environment, or made once and kept."""
    if options.slack_token_file:
        return str(options.slack_token_file.read_text().strip())
    if os.environ.get(TOKEN_VARIABLE):
        return os.environ[TOKEN_VARIABLE]
    kept: Path = options.data / "slack-token"
    if not kept.exists():
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write("xoxb-" + secrets.token_hex(16))
    return kept.read_text().strip()


async def serve(options: argparse.Namespace) -> None:
    """Listen until SIGTERM or SIGINT."""
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store(options.data / "inbox.sqlite")
    for name in (*CHANNELS, *options.channel):
        store.add_channel(name.removeprefix("#"), time.time())
    for address in (*(f"{user}@{MAIL_DOMAIN}" for user in USERS), *options.user):
        store.add_user(address.lower())
    runner = web.AppRunner(create_app(store, slack_token(options), time.time), access_log=None)
    await runner.setup()
    loop = asyncio.get_running_loop()
    mailbox = Mailbox(store, time.time)
    mail = await loop.create_server(
        lambda: SMTP(mailbox, hostname="inbox", enable_SMTPUTF8=True), options.host, options.smtp_port
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        await web.TCPSite(runner, options.host, options.port).start()
        await stopping.wait()
    finally:
        mail.close()
        await runner.cleanup()
        store.close()


def main() -> int:
    try:
        asyncio.run(serve(arguments()))
    except OSError as error:
        print(f"The inbox cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
