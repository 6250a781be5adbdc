"""Semantic versions (https://semver.org/spec/v2.0.0.html) of what goes live, derived from its commits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from .conventional import change_of

_VERSION = re.compile(r"v?(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)
_PATCHES = ("fix", "perf", "revert")


class Bump(IntEnum):
    """How far a change moves the version."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


@dataclass(frozen=True, order=True)
class Version:
    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def tag(self) -> str:
        return f"v{self}"

    def raised(self, bump: Bump) -> Version:
        match bump:
            case Bump.MAJOR:
                return Version(self.major + 1, 0, 0)
            case Bump.MINOR:
                return Version(self.major, self.minor + 1, 0)
            case Bump.PATCH:
                return Version(self.major, self.minor, self.patch + 1)
            case _:
                return self


FIRST = Version(0, 1, 0)
"""Of a service whose tree states none."""


def parse_version(text: str) -> Version | None:
    """`1.2.3` or `v1.2.3`; None for anything else, pre-releases and builds included."""
    found = _VERSION.fullmatch(text)
    return Version(*map(int, found.groups())) if found else None


def bump_of(message: str) -> Bump:
    """What one commit message asks for."""
    change = change_of(message)
    if change.breaking:
        return Bump.MAJOR
    if change.kind == "feat":
        return Bump.MINOR
    return Bump.PATCH if change.kind in _PATCHES else Bump.NONE


def next_version(last: Version | None, messages: Iterable[str], stated: str) -> Version | None:
    """The version of a release that goes live; None: it gets no version of its own.

    `last` is raised by the largest change among `messages`. A tree that states a higher version gets that
    one: its developers have decided. The first version is what the tree states. Never one that is not
    higher than `last`.
    """
    floor = parse_version(stated)
    if last is None:
        return floor or FIRST
    derived = last.raised(max(map(bump_of, messages), default=Bump.NONE))
    chosen = max(derived, floor) if floor else derived
    return chosen if chosen > last else None
