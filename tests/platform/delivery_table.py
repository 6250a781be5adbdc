"""The rows of `make bench-delivery`, and the places that they are measured in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ENVIRONMENT = "production"
RELEASING = ("ledger", "inbox", "registry", "node", "gateway", "pod-targets", "prometheus")
"""What a release of the stand-in touches, and nobody who would act by himself."""


@dataclass(frozen=True)
class Options:
    requests: int
    """How many go through healthy promotions."""


@dataclass(frozen=True)
class Row:
    what: str
    figure: str
    reach: str = ""
    met: bool | None = None
    """None: there is nothing to reach."""

    def cells(self) -> tuple[str, str, str]:
        return self.what, self.figure, self.reach + (" (falls short)" if self.met is False else "")


def lines(rows: Iterable[Row]) -> list[str]:
    """A Markdown table, so that it can be taken into a page as it is."""
    cells = [("what", "figure", "reach"), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    texts = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [texts[0], rule, *texts[1:]]


def p95(values: Iterable[float]) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * 95 // 100) - 1]
