"""What may be let in and when: the gates of a service's source, and the freeze windows of an environment."""

from __future__ import annotations

import zoneinfo
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from platform_ops.core.freeze import Moment, Window

from .fields import Model
from .names import nearest


def _moment(value: str) -> str:
    Moment.parse(value)
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(value, sorted(zoneinfo.available_timezones()))
        hint = f": did you mean {near!r}?" if near else "; write it as Europe/Berlin or UTC"
        raise ValueError(f"unknown time zone {value!r}{hint}") from None
    return value


def _inside(value: str) -> str:
    parts = value.split("/")
    if value.startswith("/") or ".." in parts or not value:
        raise ValueError(f"{value!r} must lie in the service's tree: write it from its root, as src")
    return value


WallTime = Annotated[str, AfterValidator(_moment), Field(examples=["2026-12-20 18:00", "Fri 16:00"])]
Zone = Annotated[str, AfterValidator(_zone), Field(examples=["Europe/Berlin", "UTC"])]
TreePath = Annotated[
    str, AfterValidator(_inside), Field(examples=["src", "tests/unit", "tests/test_api*.py"])
]


class FreezeWindow(Model):
    """A time in which nothing is promoted here. Going back is always possible; a hotfix has its own rule."""

    name: str = Field(min_length=1)
    """What people call it."""
    begins: WallTime
    """Wall time in `zone`: a date and time, or a day of every week and a time."""
    ends: WallTime
    """The same for its end; both are of the same kind."""
    zone: Zone
    """Time zone by its IANA name. Where clocks change, the window is never shorter than written."""
    why: str = ""
    """Reason, for whoever is refused."""

    @model_validator(mode="after")
    def _makes_sense(self) -> FreezeWindow:
        self.window()
        return self

    def window(self) -> Window:
        """In the core's terms."""
        begins, ends = Moment.parse(self.begins), Moment.parse(self.ends)
        return Window(self.name, begins, ends, ZoneInfo(self.zone), self.why)


class SourceGates(Model):
    """How the gates look at a service's source. Defaults are the pipeline guides' tools and folders; they run
    with the platform's configuration, never with the tree's."""

    paths: tuple[TreePath, ...] = Field(default=(".",), min_length=1)
    """What is formatted and linted."""
    line_length: int = Field(default=88, ge=40, le=200)
    """Longest line; 88 is Black's."""
    format: Literal["black", "ruff"] = "black"
    """Tool of the gate `format`."""
    imports: Literal["isort", "ruff"] = "isort"
    """Tool of the gate `imports`."""
    lint: Literal["flake8", "ruff"] = "flake8"
    """Tool of the gate `lint`; no problem passes."""
    types: Literal["mypy"] = "mypy"
    """Tool of the gate `types`."""
    typed: tuple[TreePath, ...] = Field(default=("src",), min_length=1)
    """What the type checker looks at."""
    strict_types: bool = False
    """mypy's strict mode."""
    import_paths: tuple[TreePath, ...] = ("src",)
    """Folders from which the source and the tests import."""
    unit: tuple[TreePath, ...] = Field(default=("tests/unit",), min_length=1)
    """Where the unit tests stand."""
    integration: tuple[TreePath, ...] = Field(default=("tests/integration",), min_length=1)
    """Where the tests with databases and processes stand."""
    api: tuple[TreePath, ...] = Field(default=("tests/api",), min_length=1)
    """Where the tests of the HTTP interface stand."""
    covered: tuple[TreePath, ...] = Field(default=("src",), min_length=1)
    """Whose lines count for the coverage."""
    skips_allowed: int = Field(default=0, ge=0)
    """How many tests of a suite may be skipped or expected to fail."""
