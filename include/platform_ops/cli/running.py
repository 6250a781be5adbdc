"""`ops controller` and `ops ledger migrate`: what the platform itself runs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from typing import Annotated

import typer

from platform_ops import wiring
from platform_ops.adapters.ledger.migrate import migrate as apply_migrations
from platform_ops.wiring import Desk

from .asking import at_desk
from .output import out

ledger = typer.Typer(help="The ledger.", no_args_is_help=True)


def controller(
    holder: Annotated[
        str, typer.Option(help="Name of this holder in leases and journal; by default host and process.")
    ] = "",
) -> None:
    """Stand by: take over rollouts whose holder is gone, own warm windows and tell Airflow how they ended,
    see to what people change by hand, send pages that nobody sent, see hotfixes merged back."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    name = holder or f"ops-controller@{socket.gethostname()}:{os.getpid()}"

    async def act(desk: Desk) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

        async def follow_hotfixes() -> None:
            await desk.follow_ups.look()

        errands = (
            desk.pager.deliver_unsent,
            desk.reporter.start_waiting,
            follow_hotfixes,
            desk.handwork(name).watch,
        )
        await desk.controller.standby(name, stop, errands)

    at_desk(act, for_many=True)


@ledger.command()
def migrate() -> None:
    """Bring the ledger's schema up to date, as its owner (PLATFORM_OPS_LEDGER_OWNER_DSN)."""
    applied = asyncio.run(apply_migrations(wiring.settings().need("ledger_owner_dsn")))
    out.print(f"applied {', '.join(applied)}" if applied else "the schema is up to date")
