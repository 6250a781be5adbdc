"""The one place where the scan meets the detection engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from analyzer.engine.detect import Finding, find
from analyzer.engine.privacy import Fingerprinter
from analyzer.engine.rules import RULES_VERSION

__all__ = ["Engine", "Finding", "Fingerprinter", "Search", "load"]


class Search(Protocol):
    """What the engine found in one content."""

    @property
    def findings(self) -> Sequence[Finding]:
        """In the order of their lines, which are counted from 1."""
        ...

    @property
    def complete(self) -> bool:
        """False where a flood of candidates was cut off."""
        ...


class Engine(Protocol):
    """Finds secrets in one content."""

    @property
    def model_version(self) -> str:
        """Which rules and which model judge."""
        ...

    def search(self, content: bytes, path: str, fingerprint: Fingerprinter) -> Search:
        """The secrets in `content`."""
        ...


@dataclass(frozen=True)
class _Found:
    findings: Sequence[Finding]
    complete: bool = True


class _Rules:
    model_version = RULES_VERSION

    def search(self, content: bytes, path: str, fingerprint: Fingerprinter) -> _Found:
        return _Found(find(content, path, fingerprint))


def load() -> Engine:
    """The engine of this build, ready to be inherited by worker processes."""
    return _Rules()
