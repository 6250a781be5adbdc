"""Decides which findings count: not those in the baseline, nor those that are suppressed and not expired."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from analyzer.scan.baseline import Baseline
from analyzer.scan.engine import Finding
from analyzer.scan.suppressions import Suppression
from analyzer.scan.worker import Hit


@dataclass(frozen=True)
class Reported:
    """A finding that counts."""

    finding: Finding
    note: str = ""
    """Why a suppression that is about it does not hold."""


@dataclass(frozen=True)
class Suppressed:
    """A finding that does not count, and whose word that is."""

    finding: Finding
    by: Literal["baseline", "inline", "file"]
    reason: str
    until: date | None = None


@dataclass(frozen=True)
class Triage:
    """What is known before the scan."""

    today: date
    baseline: Baseline | None = None
    suppressions: Sequence[Suppression] = ()
    used: set[Suppression] = field(default_factory=set)
    """Entries that were about some finding."""

    def sorted(self, hits: Iterable[Hit]) -> tuple[tuple[Reported, ...], tuple[Suppressed, ...]]:
        """What counts, and what does not, both in the order of the hits."""
        reported, suppressed = [], []
        for hit in hits:
            judged = self._judge(hit)
            if isinstance(judged, Reported):
                reported.append(judged)
            else:
                suppressed.append(judged)
        return tuple(reported), tuple(suppressed)

    def unused(self) -> tuple[Suppression, ...]:
        """Entries that no finding needed: they can go."""
        return tuple(entry for entry in self.suppressions if entry not in self.used)

    def _judge(self, hit: Hit) -> Reported | Suppressed:
        finding, notes = hit.finding, []
        for entry in self.suppressions:
            if entry.matches(finding):
                self.used.add(entry)
                if entry.until >= self.today:
                    return Suppressed(finding, "file", entry.reason, entry.until)
                notes.append(f"its suppression ended on {entry.until} ({entry.reason})")
        if (inline := hit.allowance) is not None:
            refusal = inline.refusal(self.today)
            if refusal is None:
                return Suppressed(finding, "inline", inline.reason, inline.until)
            notes.append(refusal)
        if self.baseline is not None and finding in self.baseline:
            return Suppressed(finding, "baseline", "it is in the baseline")
        return Reported(finding, "; ".join(notes))
