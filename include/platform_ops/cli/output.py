"""What `ops` prints: tables for people, JSON for programs, and the exit codes that both rely on."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.table import Table

from platform_ops.core.errors import (
    CatalogError,
    GateClosed,
    Held,
    NotFound,
    OpsError,
    Refused,
    TemporaryError,
)

_PIPED_WIDTH = 200
"""Columns of a table that goes into a file or a pipe."""


def _console(stream: TextIO, *, stderr: bool = False) -> Console:
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=_PIPED_WIDTH if piped else None)


out = _console(sys.stdout)
err = _console(sys.stderr, stderr=True)


class ExitCode(IntEnum):
    """Exit codes of `ops`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CATALOG = 3
    NOT_FOUND = 4
    GATE_CLOSED = 5
    HELD = 6
    REFUSED = 7
    UNAVAILABLE = 8
    WENT_BACK = 9
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "Done, or nothing is wrong.",
    ExitCode.FAILED: "It cannot be done; the message says what to change (a setting, most often).",
    ExitCode.USAGE: "The command line is wrong.",
    ExitCode.CATALOG: "The catalog is wrong; every problem is listed as `file:line: key: problem`.",
    ExitCode.NOT_FOUND: "A service, environment or release does not exist; the valid ones are listed.",
    ExitCode.GATE_CLOSED: "A rule says no: not verified, not approved, not entitled, or already over.",
    ExitCode.HELD: "A promotion of the service is already running there; the message names the holder.",
    ExitCode.REFUSED: "Another system understood the request and refused it; its words are shown.",
    ExitCode.UNAVAILABLE: "A system does not answer or an object changed meanwhile; trying again may help.",
    ExitCode.WENT_BACK: "`watch` saw the rollout go back, or it needs attention.",
    ExitCode.INTERRUPTED: "Stopped by Ctrl-C.",
}

_CODES: tuple[tuple[type[OpsError], ExitCode], ...] = (
    (CatalogError, ExitCode.CATALOG),
    (NotFound, ExitCode.NOT_FOUND),
    (GateClosed, ExitCode.GATE_CLOSED),
    (Held, ExitCode.HELD),
    (Refused, ExitCode.REFUSED),
    (TemporaryError, ExitCode.UNAVAILABLE),
)


def exit_code(error: OpsError) -> ExitCode:
    """The exit code of an expected error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


def complain(error: OpsError) -> None:
    """An expected error on stderr, in its own words."""
    err.print(str(error), style="red", markup=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """One JSON document on one line, for streams."""
    typer.echo(json.dumps(plain(value), ensure_ascii=False))


def plain(value: Any) -> Any:
    """Data that JSON can hold; durations are seconds, times ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | frozenset) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else value


def table(*columns: str) -> Table:
    """A table without decoration, which survives a pipe."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def clock_time(at: datetime | None) -> str:
    """`2026-11-22 19:02:03Z`"""
    return f"{at:%Y-%m-%d %H:%M:%SZ}" if at else "–"
