"""The one place where the scan meets the detection engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from analyzer.engine.detect import Finding, engine_with
from analyzer.engine.privacy import Fingerprinter
from analyzer.engine.second_opinion import SecondOpinion

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


def load(opinion: SecondOpinion | None = None) -> Engine:
    """The engine of this build, ready to be inherited by worker processes."""
    return engine_with(opinion)
