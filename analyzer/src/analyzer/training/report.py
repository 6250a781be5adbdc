"""How good a model is, on repositories that it was not trained on, and the card that says so."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.engine.classifier import Classifier
from analyzer.training.evaluate import Score, average_precision, calibration_error, score
from analyzer.training.forms import LINES, WEIGHT
from analyzer.training.rows import Row, data_hash
from analyzer.training.train import (
    DRAWS,
    FOLDS,
    MIN_PRECISION,
    VALUE_PART,
    Prepared,
    best_threshold,
    calibrate,
    folds_of,
    line_probability,
    out_of_fold,
    prepare,
    train_trees,
)

MIN_CATEGORY = 4
_HEADER = (
    "| lines | precision | recall | F1 | average precision | calibration error |",
    "|---|---|---|---|---|---|",
)
_LIMITS = (
    "## Limits",
    "",
    "* Repositories are few, and their labels carry noise: the same weak password is a secret in one of them",
    "  and none in another.",
    f"* Values are drawn {DRAWS} times for each positive; words and bigrams come from all lines, also of the",
    "  fold that is judged.",
    "* The expressions and filters were chosen while looking at these lines, which flatters the figures:",
    "  other repositories decide.",
    "* UUIDs, nonces, salts and names of buckets are identifiers and are not reported.",
)
Line = tuple[Row, float]
"""A row that is not weak, and the probability that the engine gives its line."""


@dataclass(frozen=True)
class Outcome:
    """What one seed gave."""

    seed: int
    lines: list[Line]
    calibration: tuple[float, float]

    @property
    def labels(self) -> list[int]:
        """0 or 1 for each line."""
        return [row.label for row, _ in self.lines]

    @property
    def probabilities(self) -> list[float]:
        """What the engine said of each line."""
        return [probability for _, probability in self.lines]


def cross_validated(
    prepared: Prepared, seed: int, leave_out: range = range(0), without_category: str | None = None
) -> Outcome:
    """Each line judged by a model that saw neither its repository nor what is to be left out."""
    scores = out_of_fold(prepared, seed, leave_out, without_category)
    calibration = calibrate(prepared, scores)
    # A model without trees: its calibration alone turns scores into probabilities.
    lines = []
    for sample, values in zip(prepared.samples, scores, strict=True):
        if not sample.row.weak:
            probabilities = [_probability(value, calibration) for value in values]
            lines.append((sample.row, line_probability(sample, probabilities)))
    return Outcome(seed, lines, calibration)


def _probability(value: float, calibration: tuple[float, float]) -> float:
    constant = ([0], [0.0], [-1], [-2], [value, value])
    return Classifier("", 0.5, (), (constant,), calibration).probability([0.0])


def train(rows: Sequence[Row], seeds: Sequence[int]) -> tuple[Classifier, list[Outcome], Prepared]:
    """The model for the first seed, and the cross-validation of every seed, which chose its threshold."""
    outcomes, first = [], None
    for seed in seeds:
        prepared = prepare(rows, seed)
        first = first or prepared
        outcomes.append(cross_validated(prepared, seed))
    assert first is not None
    labels = [label for outcome in outcomes for label in outcome.labels]
    probabilities = [probability for outcome in outcomes for probability in outcome.probabilities]
    trees = train_trees(first, lambda _: True, seeds[0])
    threshold = best_threshold(labels, probabilities)
    return replace(trees, calibration=outcomes[0].calibration, threshold=threshold), outcomes, first


def card(data: Path, model: Classifier, outcomes: Sequence[Outcome], prepared: Prepared, size: int) -> str:
    """The model's card in Markdown."""
    threshold = model.threshold
    rows = [sample.row for sample in prepared.samples]
    weak = sum(row.weak for row in rows)
    context_only = cross_validated(prepared, outcomes[0].seed, VALUE_PART)
    groups = len({row.group for row in rows})
    positives = sum(row.label for row in rows) - weak
    seeds = ", ".join(str(outcome.seed) for outcome in outcomes)
    lines = [
        "# Model card: the classifier of the analyzer",
        "",
        "Written by `make train`; the same data and seeds give the same model, byte by byte.",
        "",
        f"* Model: `{model.version}`, {size} bytes, {len(model.trees)} trees, evaluated without a library.",
        f"* Data: sha256 `{data_hash(data)}`, {len(rows)} lines of {groups} repositories,",
        f"  {positives} positives, and {weak} identifier-like ones that are left out.",
        f"* Seeds: {seeds} (values and trees; the model is of the first).",
        f"* Threshold: {threshold:.2f}, the best F1 with precision {MIN_PRECISION} or more over all seeds.",
        "",
        f"## Grouped cross-validation ({FOLDS} folds, no repository on both sides)",
        "",
        "Lines, rules and classifier together: a line counts as found when anything on it is reported.",
        "Mean over the seeds, smallest and largest in brackets; in the last line over the folds of one seed.",
        "",
        *_HEADER,
        _row("all", outcomes, threshold, lambda row: True),
        _row("CredData part", outcomes, threshold, lambda row: not row.category.startswith("neg:")),
        _row(f"folds of seed {outcomes[0].seed}", _by_fold(outcomes[0], rows), threshold, lambda row: True),
        "",
        f"{LINES} made-up lines of known forms (`training/forms.py`, weight {WEIGHT}) are always",
        "in training, for every fold and for the model; none is among the lines that are judged.",
        "",
        f"## What remains without the value's features (seed {outcomes[0].seed})",
        "",
        "The positives' values are generated from shapes: what is learnt of values is partly the generator.",
        "",
        *_HEADER,
        _row("at the model's threshold", [context_only], threshold, lambda row: True),
        _row("at a threshold of its own", [context_only], _own_threshold(context_only), lambda row: True),
        "",
        "## Recall of a category that was left out of training",
        "",
        "| category | lines | recall, trained with it | recall, left out |",
        "|---|---|---|---|",
        *_left_out(prepared, outcomes[0], threshold),
        "",
        *_LIMITS,
    ]
    return "\n".join(lines) + "\n"


def _by_fold(outcome: Outcome, rows: Sequence[Row]) -> list[Outcome]:
    """The outcome in parts: the lines of each fold that has a positive."""
    fold_of = dict(zip((row.group for row in rows), folds_of(rows), strict=True))
    parts = [
        replace(outcome, lines=[line for line in outcome.lines if fold_of[line[0].group] == fold])
        for fold in sorted(set(fold_of.values()))
    ]
    return [part for part in parts if any(part.labels)]


def _own_threshold(outcome: Outcome) -> float:
    return best_threshold(outcome.labels, outcome.probabilities)


def _row(title: str, outcomes: Sequence[Outcome], threshold: float, chosen: Callable[[Row], bool]) -> str:
    return f"| {title} | " + " | ".join(figures(outcomes, threshold, chosen)) + " |"


def figures(
    outcomes: Sequence[Outcome], threshold: float, chosen: Callable[[Row], bool]
) -> tuple[str, str, str, str, str]:
    """Precision, recall, F1, average precision and calibration error of the chosen lines.

    Each is the mean over the outcomes, with the smallest and the largest.
    """
    columns: list[tuple[float, ...]] = []
    for outcome in outcomes:
        lines = [line for line in outcome.lines if chosen(line[0])]
        labels, probabilities = [row.label for row, _ in lines], [probability for _, probability in lines]
        result = _score(lines, threshold)
        columns.append(
            (result.precision, result.recall, result.f1, average_precision(labels, probabilities),
             calibration_error(labels, probabilities))
        )  # fmt: skip
    precision, recall, f1, average, error = (_spread(column) for column in zip(*columns, strict=True))
    return precision, recall, f1, average, error


def _score(lines: Sequence[Line], threshold: float) -> Score:
    return score([row.label for row, _ in lines], [probability >= threshold for _, probability in lines])


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def _left_out(prepared: Prepared, whole: Outcome, threshold: float) -> list[str]:
    counts = Counter(row.category for row, _ in whole.lines if row.label)
    rows = []
    for category, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count >= MIN_CATEGORY:
            without = cross_validated(prepared, whole.seed, without_category=category)
            recalls = [_recall(outcome, category, threshold) for outcome in (whole, without)]
            rows.append(f"| {category} | {count} | {recalls[0]:.2f} | {recalls[1]:.2f} |")
    return rows


def _recall(outcome: Outcome, category: str, threshold: float) -> float:
    return _score(
        [line for line in outcome.lines if line[0].label and line[0].category == category], threshold
    ).recall
