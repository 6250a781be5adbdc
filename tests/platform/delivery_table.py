"""The rows of `make bench-delivery`, and the places that they are measured in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from own_platform import OwnPlatform
from releasing import POLICY, SERVICE, Place

from platform_ops import wiring
from platform_ops.settings import Settings

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


@asynccontextmanager
async def placed(
    platform: OwnPlatform, folder: Path, environment: str = ENVIRONMENT, **changed: str
) -> AsyncIterator[Place]:
    """The stand-in in production or another environment, at a desk with changed settings."""
    chosen = replace(Settings.of(platform.settings), gate_policy=str(POLICY), **changed)
    async with wiring.connect(chosen) as desk:
        target = desk.catalog.target(SERVICE, environment)
        kubectl = ("kubectl", f"--kubeconfig={platform.kubeconfig()}", f"--namespace={target.namespace}")
        yield Place(desk, target, platform.url("gateway"), lambda *words: [*kubectl, *words], folder)
