"""One pass over the bytes of a file: every expression at once, ends only.

Start-of-match is not asked of the matcher: it costs half of the speed, and a third of the expressions would
not compile.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import hyperscan

CASELESS = int(hyperscan.HS_FLAG_CASELESS)
DOTALL = int(hyperscan.HS_FLAG_DOTALL)

MAX_HITS = 50_000
"""Hits of one content; a flood beyond is cut, and the content counts as partly searched."""

Hit = tuple[int, int]
"""Which expression, and the offset behind its last byte."""


class Matcher:
    """A compiled set of expressions; may be used by several threads."""

    def __init__(self, expressions: Sequence[tuple[bytes, int]]) -> None:
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[expression for expression, _ in expressions],
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[flags for _, flags in expressions],
        )
        self._prototype = hyperscan.Scratch(self._database)
        self._scratches = threading.local()

    def hits(self, content: bytes, limit: int = MAX_HITS) -> tuple[list[Hit], bool]:
        """The hits in the order of their ends, and whether all of them are there."""
        found: list[Hit] = []

        def report(id: int, _start: int, end: int, _flags: int, _context: object) -> bool | None:
            found.append((id, end))
            return len(found) >= limit or None

        try:
            self._database.scan(content, match_event_handler=report, scratch=self._scratch())
        except hyperscan.ScanTerminated:
            return found, False
        return found, True

    def _scratch(self) -> hyperscan.Scratch:
        scratch = getattr(self._scratches, "scratch", None)
        if scratch is None:
            scratch = self._scratches.scratch = self._prototype.clone()
        return scratch
