"""What a scan saw, and what it did not: a scan that says nothing of its gaps cannot be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_FILE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Source:
    """One content to scan: a file or a git blob."""

    path: str
    content: bytes
    commit: str | None = None


@dataclass
class Coverage:
    """Counted while the sources are read."""

    files: int = 0
    bytes: int = 0
    commits: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """What is left out on purpose, by reason: links, special files, submodules."""
    not_scanned: list[str] = field(default_factory=list)
    """What should have been scanned and was not, as `path: reason`. One entry makes the scan incomplete."""

    def seen(self, source: Source) -> Source:
        """Counts a source that is handed on."""
        self.files += 1
        self.bytes += len(source.content)
        return source


Sources = Iterator[Source]
