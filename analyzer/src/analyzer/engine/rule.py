"""What a rule for a vendor's format is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Risk = Literal["critical", "high", "medium", "low"]


@dataclass(frozen=True)
class Trigger:
    """An expression of fixed width for the multi-pattern matcher, which tells ends only: end - width is the
    start."""

    expression: bytes
    width: int


@dataclass(frozen=True)
class Rule:
    """One secret format."""

    id: str
    secret_type: str
    """What people call it; the `secret_type` label of the metrics, so the set is closed."""
    risk: Risk
    prefixes: tuple[bytes, ...]
    """What every value of the format begins with, so that it may be shown."""
    triggers: tuple[Trigger, ...]
    pattern: re.Pattern[bytes]
    """Matched where a trigger began; tells the exact span."""
    check: Callable[[bytes], bool]
    reason: str
    """Why a match that passed its check is a secret, in words."""


# No token character before and none after, or the length of the format means nothing.
BEFORE = r"(?<![A-Za-z0-9_])"
AFTER = r"(?![A-Za-z0-9_-])"
_CLASS = re.compile(r"(\[[^\]]+\]|\\?.)(?:\{(\d+)\})?")


def width_of(expression: str) -> int:
    """The number of characters that a sequence of characters and classes with fixed repeats matches."""
    return sum(int(count or 1) for _, count in _CLASS.findall(expression))


def rule(
    id: str,
    secret_type: str,
    risk: Risk,
    prefixes: str,
    lead: str,
    rest: str,
    check: Callable[[bytes], bool],
    reason: str,
) -> Rule:
    """A rule for `prefix lead rest` with one of the prefixes (separated by blanks).

    `lead` is a sequence of classes with fixed repeats: the matcher looks for prefix and lead, so the longer
    it is, the
    fewer places are looked at. `rest` is any expression. Without prefixes, `lead` alone triggers.
    """
    names = prefixes.split() or [""]
    alternatives = "|".join(map(re.escape, names))
    return Rule(
        id=id,
        secret_type=secret_type,
        risk=risk,
        prefixes=tuple(name.encode() for name in names if name),
        triggers=tuple(
            Trigger((re.escape(name) + lead).encode(), len(name) + width_of(lead)) for name in names
        ),
        pattern=re.compile(f"{BEFORE}(?:{alternatives}){lead}{rest}{AFTER}".encode()),
        check=check,
        reason=reason,
    )
