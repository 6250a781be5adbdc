"""A line on a terminal that says how far the scan is; nothing anywhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from time import monotonic
from typing import TextIO

from analyzer.scan.coverage import Coverage

_EVERY = 0.2
_WIDTH = 24


@dataclass
class Progress:
    """Written over itself on standard error, so that it never gets into a report."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    total: int | None = None
    """Items that there are, where that is known before the scan."""
    _last: float = 0.0
    _shown: bool = False

    def show(self, coverage: Coverage, findings: int) -> None:
        """Says what was seen so far, at most five times a second."""
        now = monotonic()
        if now - self._last < _EVERY or not self.is_visible():
            return
        self._last, self._shown = now, True
        print(f"\r{self._line(coverage, findings)}\x1b[K", end="", file=self.stream, flush=True)

    def is_visible(self) -> bool:
        """Whether anybody sees it."""
        return self.stream.isatty()

    def clear(self) -> None:
        """Leaves an empty line."""
        if self._shown:
            print("\r\x1b[K", end="", file=self.stream, flush=True)

    def _line(self, coverage: Coverage, findings: int) -> str:
        seen = f"{coverage.files} files, {coverage.bytes / 1e6:.0f} MB, {findings} findings"
        if not self.total:
            return f"scanning: {seen}"
        done = min(self.total, coverage.files + len(coverage.not_scanned))
        filled = _WIDTH * done // self.total
        return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{self.total}: {seen}"
