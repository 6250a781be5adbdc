"""The `ops` command: its commands, and how their errors end."""

from __future__ import annotations

import logging
from typing import Any

import typer
from typer.core import TyperGroup

from platform_ops.core.errors import OpsError

from . import auditing, catalog, changes, holding, incidents, looking, planning, promoting, releases, running
from .output import ExitCode, complain, exit_code

# Warnings of a library that tries again belong in the log of `ops controller`; here our error says it.
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())


class OpsGroup(TyperGroup):
    """Expected errors end with their own words and an exit code, never with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OpsError as error:
            complain(error)
            raise typer.Exit(exit_code(error)) from error
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None


app = typer.Typer(
    name="ops",
    cls=OpsGroup,
    help="The operations desk: promotes releases, shows where they are, takes them back.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)
app.command()(promoting.promote)
app.command()(planning.plan)
app.command()(looking.status)
app.command()(looking.watch)
app.command()(looking.logs)
app.command()(promoting.abort)
app.command()(promoting.rollback)
app.command()(promoting.reclaim)
app.command()(holding.hold)
app.command()(holding.resume)
app.command("release-digest")(holding.release_digest)
app.command()(auditing.audit)
app.command()(releases.release)
app.command()(changes.changelog)
app.add_typer(incidents.app, name="incident")
app.add_typer(catalog.app, name="catalog")
app.command()(running.controller)
app.add_typer(running.ledger, name="ledger")
