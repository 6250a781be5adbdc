"""What every command shares: arguments with completion, and the way to the desk."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from platform_ops import wiring
from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.core.errors import OpsError

R = TypeVar("R")


def _services(incomplete: str) -> list[str]:
    try:
        names = list(wiring.catalog().services)
    except OpsError:
        return []  # a broken catalog is reported by the command, not by the Tab key
    return [name for name in names if name.startswith(incomplete)]


def _environments(incomplete: str) -> list[str]:
    return [name for name in ENVIRONMENTS if name.startswith(incomplete)]


Service = Annotated[str, typer.Argument(help="Service of the catalog.", autocompletion=_services)]
Environment = Annotated[
    str, typer.Argument(help="development, staging or production.", autocompletion=_environments)
]
OneService = Annotated[
    str | None, typer.Argument(help="Service of the catalog; all when left out.", autocompletion=_services)
]
OneEnvironment = Annotated[
    str | None, typer.Argument(help="Environment; all when left out.", autocompletion=_environments)
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
Why = Annotated[str, typer.Option("--why", help="Reason, for the journal and the page.")]


def at_desk(act: Callable[[wiring.Desk], Awaitable[R]], *, for_many: bool = False) -> R:
    """Run a coroutine with the desk of this process."""

    async def run() -> R:
        async with wiring.connect(for_many=for_many) as desk:
            return await act(desk)

    return asyncio.run(run())


def person() -> str:
    """Who types, for the journal: the login at this machine."""
    return f"{getpass.getuser()} (ops)"
