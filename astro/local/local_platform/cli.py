"""The commands behind `make up`, `status`, `down` and `reset`."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local_platform.bench import measure
from local_platform.errors import PlatformError
from local_platform.layout import MARKER, Layout
from local_platform.parts import PORTS
from local_platform.product import all_settings
from local_platform.services.airflow import USERS, passwords
from local_platform.services.git import Git
from local_platform.sources import BRANCH, SOURCES
from local_platform.supervisor import Supervisor

COLOURS = {"up": "green", "down": "red", "failing": "yellow"}


class Printer:
    """One line an event: seconds since the start, the part, what happens."""

    def __init__(self) -> None:
        console = Console(highlight=False, soft_wrap=True)
        # A pipe or a log has no width: nothing is folded or cut there.
        self.console = console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=200)
        self._start = time.monotonic()

    def __call__(self, part: str, event: str) -> None:
        self.console.print(f"[{time.monotonic() - self._start:6.1f} s] {part}: {event}", markup=False)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code (0 done, 1 not all is up or it failed, 130 interrupted)."""
    chosen = _parser().parse_args(arguments)
    printer = Printer()
    try:
        return int(chosen.run(Supervisor(Layout.from_environment(), printer), printer, chosen))
    except PlatformError as error:
        print(f"local platform: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what is up stays up, the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_platform", description="The local platform of platform-ops.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start what is not running")
    up.add_argument("parts", nargs="*", help="only these parts and what they need")
    up.set_defaults(run=_up)
    status = commands.add_parser(
        "status", help="what runs, where, and who may log in; exit code 1 if something is down"
    )
    status.set_defaults(run=_status)
    commands.add_parser("down", help="stop everything").set_defaults(run=_down)
    commands.add_parser("reset", help="stop everything and delete its state").set_defaults(run=_reset)
    push = commands.add_parser("push", help="commit a service's tree to its repository: its promotion starts")
    push.add_argument("service", choices=sorted(SOURCES))
    push.set_defaults(run=_push)
    commands.add_parser("env", help="print the settings of platform-ops for a shell").set_defaults(run=_env)
    run = commands.add_parser("run", help="run a command with these settings")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    run.set_defaults(run=_run)
    bench = commands.add_parser("bench", help="memory and idle processor time of each part")
    bench.add_argument("--seconds", type=float, default=30.0, help="how long to watch (default 30)")
    bench.set_defaults(run=_bench)
    return parser


def _up(supervisor: Supervisor, printer: Printer, chosen: argparse.Namespace) -> int:
    supervisor.up(chosen.parts)
    printer("platform", "up; `make status` shows addresses and passwords")
    return 0


def _status(supervisor: Supervisor, printer: Printer, chosen: argparse.Namespace) -> int:
    table = Table("part", "state", "where, or what is wrong", box=None, pad_edge=False)
    health = supervisor.status()
    for one in health:
        colour = COLOURS[one.state]
        table.add_row(one.part.name, f"[{colour}]{one.state}[/]", one.detail)
    printer.console.print(table)
    if any(one.part.name == "airflow-api" and one.state == "up" for one in health):
        _show_users(supervisor, printer)
    ports = ", ".join(f"{name} {supervisor.platform.ports[name]}" for name in PORTS)
    printer.console.print(f"\nports: {ports}\nstate: {supervisor.platform.layout.state}", markup=False)
    return int(any(one.state != "up" for one in health))


def _show_users(supervisor: Supervisor, printer: Printer) -> None:
    users = Table("Airflow user", "role", "password", box=None, pad_edge=False)
    for user, password in passwords(supervisor.platform).items():
        users.add_row(user, USERS[user], password)
    printer.console.print()
    printer.console.print(users)


def _down(supervisor: Supervisor, printer: Printer, chosen: argparse.Namespace) -> int:
    supervisor.down()
    printer("platform", "down; no process is left")
    return 0


def _reset(supervisor: Supervisor, printer: Printer, chosen: argparse.Namespace) -> int:
    supervisor.down()
    state = supervisor.platform.layout.state
    if not (state / MARKER).is_file():
        raise PlatformError(f"{state} is not a state folder of the local platform; it was left alone")
    shutil.rmtree(state)
    printer("platform", f"down; {state} is deleted")
    return 0


def _push(supervisor: Supervisor, printer: Printer, chosen: argparse.Namespace) -> int:
    platform = supervisor.platform
    git = Git(platform)
    if not git.repository(chosen.service).exists():
        raise PlatformError(
            f"there is no repository {git.repository(chosen.service)} yet; `make up` makes it"
        )
    git.keys.complete()
    with tempfile.TemporaryDirectory() as folder:
        commit = git.clone(chosen.service, Path(folder, "clone")).commit()
    printer(chosen.service, f"{commit.version} ({commit.id[:8]}) pushed to {BRANCH}")
    return 0


def _env(supervisor: Supervisor, printer: Printer, chosen: argparse.Namespace) -> int:
    for name, value in all_settings(supervisor.platform).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _run(supervisor: Supervisor, printer: Printer, chosen: argparse.Namespace) -> int:
    argv = chosen.argv[1:] if chosen.argv[:1] == ["--"] else chosen.argv
    if not argv:
        raise PlatformError("run: name a command, as in `python -m local_platform run -- ops status`")
    env = {**supervisor.platform.environment(), **all_settings(supervisor.platform)}
    if shutil.which(argv[0], path=env["PATH"]) is None:
        raise PlatformError(f"run: there is no program {argv[0]}")
    sys.stdout.flush()
    os.execvpe(argv[0], argv, env)


def _bench(supervisor: Supervisor, printer: Printer, chosen: argparse.Namespace) -> int:
    printer.console.print(measure(supervisor, chosen.seconds), markup=False)
    return 0
