"""A file of accepted findings, each with a reason and an expiry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from analyzer.scan.engine import Finding

_KEYS = {"fingerprint", "path", "rule", "reason", "until"}


class SuppressionsError(Exception):
    """The file cannot be used; the message lists every problem."""


@dataclass(frozen=True)
class Suppression:
    """One entry: it matches what all of its `fingerprint`, `path` (a pattern) and `rule` match."""

    reason: str
    until: date
    fingerprint: str = "*"
    path: str = "*"
    rule: str = "*"

    def matches(self, finding: Finding) -> bool:
        """Whether the entry is about this finding, expired or not."""
        return (
            self.fingerprint in ("*", finding.fingerprint)
            and fnmatch(finding.path, self.path)
            and self.rule in ("*", finding.rule)
        )

    @property
    def what(self) -> str:
        """How messages name the entry."""
        named = (("fingerprint", self.fingerprint), ("path", self.path), ("rule", self.rule))
        return ", ".join(f"{key} {value}" for key, value in named if value != "*")


def read(path: Path) -> tuple[Suppression, ...]:
    """The entries of a YAML or JSON file `{suppressions: [...]}`. Raises `SuppressionsError`."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuppressionsError(f"the suppressions {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SuppressionsError(f"the suppressions {path} are no YAML: {error}") from None
    except RecursionError:
        raise SuppressionsError(f"the suppressions {path} are nested too deeply to be read") from None
    entries = document.get("suppressions") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise SuppressionsError(f"{path} needs a list under the key `suppressions`")
    problems = [
        f"{path}: entry {n}: {problem}" for n, one in enumerate(entries, 1) for problem in _problems(one)
    ]
    if problems:
        raise SuppressionsError("\n".join(problems))
    return tuple(Suppression(**{**entry, "until": _date(entry["until"])}) for entry in entries)


def _problems(entry: Any) -> Iterable[str]:
    if not isinstance(entry, dict):
        yield "it is no mapping"
        return
    if unknown := sorted(str(key) for key in entry.keys() - _KEYS):
        yield f"unknown: {', '.join(unknown)}; there are {', '.join(sorted(_KEYS))}"
    for key in sorted(_KEYS - {"until"}):
        if key in entry and not (isinstance(entry[key], str) and entry[key].strip()):
            yield f"{key} must be a text that is not empty"
    if "reason" not in entry:
        yield "it needs a reason"
    if "until" not in entry:
        yield "it needs an expiry: until: YYYY-MM-DD"
    elif _date(entry["until"]) is None:
        yield f"until is no date: {entry['until']!r}"
    if not entry.keys() & {"fingerprint", "path", "rule"}:
        yield "it names nothing: give a fingerprint, a path or a rule"


def _date(value: Any) -> date | None:
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        return None
