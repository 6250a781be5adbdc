"""What a scan saw, and what it did not: a scan that says nothing of its gaps cannot be trusted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Coverage:
    """Counted while contents are read; counts of workers are added up."""

    files: int = 0
    bytes: int = 0
    commits: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """What is left out on purpose, by reason: links, special files, submodules, what the caller excluded."""
    unopened: Counter[str] = field(default_factory=Counter)
    """Archives and compressed files by format: seen as bytes, not unpacked."""
    not_scanned: list[str] = field(default_factory=list)
    """What should have been scanned and was not, as `path: reason`. One entry makes the scan incomplete."""

    def add(self, other: Coverage) -> None:
        """Adds what another part of the same scan saw."""
        self.files += other.files
        self.bytes += other.bytes
        self.commits += other.commits
        self.skipped.update(other.skipped)
        self.unopened.update(other.unopened)
        self.not_scanned.extend(other.not_scanned)
