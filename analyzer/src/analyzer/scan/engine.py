"""The one place where the scan meets the detection engine."""

from __future__ import annotations

from typing import Protocol

from analyzer.engine.detect import Finding, find
from analyzer.engine.privacy import Fingerprinter
from analyzer.engine.rules import RULES_VERSION

__all__ = ["Engine", "Finding", "Fingerprinter", "load"]


class Engine(Protocol):
    """Finds secrets in one content."""

    @property
    def model_version(self) -> str:
        """Which rules and which model judge."""
        ...

    def find(self, content: bytes, path: str, fingerprint: Fingerprinter) -> list[Finding]:
        """The secrets in `content`, with lines counted from 1, in their order."""
        ...


class _Rules:
    model_version = RULES_VERSION

    def find(self, content: bytes, path: str, fingerprint: Fingerprinter) -> list[Finding]:
        return find(content, path, fingerprint)


def load() -> Engine:
    """The engine of this build, ready to be inherited by worker processes."""
    return _Rules()
