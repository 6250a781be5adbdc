"""Conventional commits (https://www.conventionalcommits.org/en/v1.0.0/): what a message says was done."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(r"^(?P<kind>[A-Za-z]+)(?:\((?P<scope>[^()\n]+)\))?(?P<mark>!)?: +(?P<subject>\S.*)$")
_BREAKING = re.compile(r"^BREAKING[ -]CHANGE: +\S", re.MULTILINE)
_REVERT = re.compile(r'^Revert "(?P<subject>.+)"$')


@dataclass(frozen=True)
class Change:
    kind: str
    """`feat`, `fix`, …, in small letters; empty when the message follows no convention."""
    subject: str
    scope: str = ""
    breaking: bool = False


def change_of(message: str) -> Change:
    """Read a commit message. What `git revert` writes counts as `revert`."""
    header, _, rest = message.strip().partition("\n")
    header = header.strip()
    found = _HEADER.match(header)
    if found is None:
        reverted = _REVERT.match(header)
        return Change("revert", reverted["subject"]) if reverted else Change("", header)
    breaking = found["mark"] is not None or _BREAKING.search(rest) is not None
    return Change(found["kind"].lower(), found["subject"].strip(), found["scope"] or "", breaking)
