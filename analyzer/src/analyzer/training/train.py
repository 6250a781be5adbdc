"""Trains the classifier from labelled lines and says how good it is.

Grouped cross-validation: the rows of a repository are never on both sides. The folds' predictions calibrate
the model that is
trained on everything, and choose its threshold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from analyzer.engine.classifier import Classifier
from analyzer.engine.features import VALUE_FEATURES, Bigrams, vector
from analyzer.engine.file_types import extension_of
from analyzer.engine.locate import Locator
from analyzer.training.bigrams import bigrams_of
from analyzer.training.boosting import boosted, calibrated
from analyzer.training.evaluate import score
from analyzer.training.forms import known_forms
from analyzer.training.rows import BadRows, Row
from analyzer.training.samples import Sample, samples_of
from analyzer.training.synthesis import vocabulary

FOLDS = 12
DRAWS = 4
"""Values that are generated for each positive."""
MIN_PRECISION = 0.95
Vectors = tuple[tuple[float, ...], ...]
_BLANK = Classifier("untrained", 0.5, [[0.0] * 27] * 27, (), (1.0, 0.0))


@dataclass(frozen=True)
class Prepared:
    """Samples with the features of their candidates."""

    samples: tuple[Sample, ...]
    vectors: tuple[Vectors, ...] = field(repr=False)
    further: tuple[tuple[Sample, Vectors], ...] = field(repr=False)
    """The positives again with other values, for training only: (sample, vectors), by row."""
    bigrams: list[list[float]] = field(repr=False)
    known: tuple[list[list[float]], list[int], list[float]] = field(repr=False)
    """Vectors, labels and weights of the forms that are known beforehand (`forms`)."""


def prepare(rows: Sequence[Row], seed: int) -> Prepared:
    """What to learn from; raises `BadRows` when a class or a second group is missing."""
    labels = Counter(row.label for row in rows if not row.weak)
    if not labels[0] or not labels[1]:
        raise BadRows("training needs rows of both labels (positives that are not weak)")
    if len({row.group for row in rows}) < 2:
        raise BadRows("training needs rows of two groups at least: they are split by group")
    bigrams = bigrams_of(row.context for row in rows)
    locator, words = Locator(), vocabulary(rows)
    samples = samples_of(rows, locator, words, seed)
    generated = [row for row in rows if row.label and row.value is None and not row.weak]
    further = [
        (sample, _vectors(sample, bigrams))
        for draw in range(1, DRAWS)
        for sample in samples_of(generated, locator, words, seed * DRAWS + draw)
    ]
    vectors = tuple(_vectors(sample, bigrams) for sample in samples)
    known = known_forms(locator, words, bigrams, seed)
    return Prepared(tuple(samples), vectors, tuple(further), bigrams, known)


def _vectors(sample: Sample, bigrams: Bigrams) -> Vectors:
    extension = extension_of(sample.path)
    return tuple(tuple(map(float, vector(candidate, extension, bigrams))) for candidate in sample.candidates)


def folds_of(rows: Sequence[Row], folds: int = FOLDS) -> list[int]:
    """A fold for each row: whole groups, the largest first, each to the fold that has fewest positives, then
    rows."""
    positives = Counter(row.group for row in rows if row.label and not row.weak)
    sizes = Counter(row.group for row in rows)
    loads = [(0, 0, number) for number in range(min(folds, len(sizes)))]
    assigned = {}
    for group in sorted(sizes, key=lambda name: (-positives[name], -sizes[name], name)):
        loads.sort()
        found, size, number = loads[0]
        loads[0] = (found + positives[group], size + sizes[group], number)
        assigned[group] = number
    return [assigned[row.group] for row in rows]


def train_trees(
    prepared: Prepared, chosen: Callable[[Row], bool], seed: int, leave_out: range = range(0)
) -> Classifier:
    """A model from the rows that `chosen` accepts, not calibrated yet."""
    vectors: list[Sequence[float]] = list(prepared.known[0])
    labels, weights = list(prepared.known[1]), list(prepared.known[2])
    weight_of = _weights(prepared.samples)
    for sample, sample_vectors in (*zip(prepared.samples, prepared.vectors, strict=True), *prepared.further):
        row = sample.row
        if row.weak or not chosen(row):
            continue
        for values, target in zip(sample_vectors, sample.target, strict=True):
            if target or not row.label:
                vectors.append(values)
                labels.append(int(target and row.label))
                weights.append(weight_of[_kin(row)] / (DRAWS if row.label else 1))
    trees = boosted(vectors, labels, weights, seed, leave_out)
    return replace(_BLANK, trees=trees, bigrams=prepared.bigrams)


def _kin(row: Row) -> tuple[str, int, str]:
    return row.group, row.label, row.variable_name


def _weights(samples: Sequence[Sample]) -> dict[tuple[str, int, str], float]:
    """Less for lines that a group repeats: a translated file is not a hundred independent negatives."""
    counts = Counter(_kin(sample.row) for sample in samples)
    groups = Counter((sample.row.group, sample.row.label) for sample in samples)
    return {
        kin: count**-0.5 * max(0.3, min(1.0, (150 / groups[kin[0], kin[1]]) ** 0.5))
        for kin, count in counts.items()
    }


def out_of_fold(
    prepared: Prepared, seed: int, leave_out: range = range(0), without_category: str | None = None
) -> list[list[float]]:
    """For each sample, its candidates' scores by the model that did not see its group.

    `leave_out` names features that the models do not see; `without_category` positives that they are not
    shown.
    """
    rows = [sample.row for sample in prepared.samples]
    fold_of = dict(zip((row.group for row in rows), folds_of(rows), strict=True))
    scores: list[list[float]] = [[] for _ in rows]
    for fold in sorted(set(fold_of.values())):

        def is_shown(row: Row, fold: int = fold) -> bool:
            return fold_of[row.group] != fold and not (row.label and row.category == without_category)

        model = train_trees(prepared, is_shown, seed, leave_out)
        for number, vectors in enumerate(prepared.vectors):
            if fold_of[rows[number].group] == fold:
                scores[number] = [model.score(_without(values, leave_out)) for values in vectors]
    return scores


def _without(values: Sequence[float], leave_out: range) -> Sequence[float]:
    return (
        [0.0 if number in leave_out else value for number, value in enumerate(values)]
        if leave_out
        else values
    )


def line_probability(sample: Sample, probabilities: Sequence[float]) -> float:
    """How sure the engine is of the line: of its surest candidate, or of a rule."""
    return 0.99 if sample.matched else max(probabilities, default=0.0)


def calibrate(prepared: Prepared, scores: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Platt's parameters from the scores of candidates that the models had not seen."""
    flat, labels = [], []
    for sample, row_scores in zip(prepared.samples, scores, strict=True):
        if sample.row.weak:
            continue
        for value, target in zip(row_scores, sample.target, strict=True):
            if target or not sample.row.label:
                flat.append(value)
                labels.append(int(target and sample.row.label))
    return calibrated(flat, labels)


def best_threshold(
    labels: Sequence[int], probabilities: Sequence[float], min_precision: float = MIN_PRECISION
) -> float:
    """The threshold with the best F1 among those whose precision is at least `min_precision`, in
    hundredths."""
    best, chosen = -1.0, 0.95
    for hundredth in range(20, 97):
        threshold = hundredth / 100
        result = score(labels, [p >= threshold for p in probabilities])
        if result.precision >= min_precision and result.f1 > best:
            best, chosen = result.f1, threshold
    return chosen


VALUE_PART = range(VALUE_FEATURES)
