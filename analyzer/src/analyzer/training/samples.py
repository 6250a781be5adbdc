"""From labelled lines to what the classifier learns from: the engine's own candidates, as it would meet
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from analyzer.engine.assignments import Candidate
from analyzer.engine.locate import Locator
from analyzer.training.rows import Row
from analyzer.training.synthesis import filled, value_of


@dataclass(frozen=True)
class Sample:
    """One row as the engine sees it."""

    row: Row
    text: bytes = field(repr=False)
    path: str
    matched: bool
    """Whether a rule with a structure of its own fires on the line; then the classifier is not asked."""
    candidates: tuple[Candidate, ...] = field(repr=False)
    """What the classifier is asked about, all of the line."""
    target: tuple[bool, ...]
    """For each candidate, whether it is the labelled place."""


def samples_of(rows: Sequence[Row], locator: Locator, words: Sequence[str], seed: int) -> list[Sample]:
    """One sample a row, in their order; positives get values of their shape."""
    made = []
    for number, row in enumerate(rows):
        text, places = filled(row, value_of(row, words, seed, number))
        content = text.encode(errors="surrogatepass")
        spans = [(len(text[:start].encode()), len(text[:end].encode())) for start, end in places]
        path = f"file.{row.file_type}" if row.file_type else "file"
        located = locator.locate(content, path)
        target = tuple(
            any(start < candidate.end and candidate.start < end for start, end in spans)
            for candidate in located.candidates
        )
        made.append(Sample(row, content, path, bool(located.matches), tuple(located.candidates), target))
    return made
