"""Figures: precision, recall, F1, average precision, calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """Counts of lines, and what follows from them."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """1.0 when nothing was reported."""
        reported = self.true_positives + self.false_positives
        return self.true_positives / reported if reported else 1.0

    @property
    def recall(self) -> float:
        """1.0 when there was nothing to find."""
        there = self.true_positives + self.false_negatives
        return self.true_positives / there if there else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else 1.0

    def __str__(self) -> str:
        return f"F1 {self.f1:.3f} P {self.precision:.3f} R {self.recall:.3f}"


def score(labels: Sequence[int], reported: Sequence[bool]) -> Score:
    """Counts lines: `reported` says what the engine said, `labels` what was there."""
    pairs = list(zip(labels, reported, strict=True))
    return Score(
        sum(1 for label, said in pairs if label and said),
        sum(1 for label, said in pairs if said and not label),
        sum(1 for label, said in pairs if label and not said),
    )


def average_precision(labels: Sequence[int], probabilities: Sequence[float]) -> float:
    """The area under precision over recall, by steps; equal probabilities count as one step."""
    order = sorted(range(len(labels)), key=lambda i: -probabilities[i])
    area, found, seen, previous = 0.0, 0, 0, 0.0
    total = sum(labels)
    for position, index in enumerate(order):
        found, seen = found + labels[index], seen + 1
        last = position + 1 == len(order) or probabilities[order[position + 1]] != probabilities[index]
        if last and total:
            area += found / seen * (found / total - previous)
            previous = found / total
    return area


def calibration_error(labels: Sequence[int], probabilities: Sequence[float], bins: int = 10) -> float:
    """The expected calibration error: how far stated and observed shares are apart, weighted by bin."""
    error = 0.0
    for number in range(bins):
        inside = [i for i, p in enumerate(probabilities) if min(int(p * bins), bins - 1) == number]
        if inside:
            stated = sum(probabilities[i] for i in inside) / len(inside)
            observed = sum(labels[i] for i in inside) / len(inside)
            error += len(inside) / len(labels) * abs(stated - observed)
    return error
