"""The model: gradient-boosted trees and a calibration, read from JSON and evaluated without any library."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from analyzer.engine.features import NAMES, Bigrams

FORMAT = 1
MAX_MODEL = 8 * 1024 * 1024

Tree = tuple[list[int], list[float], list[int], list[int], list[float]]
"""Feature, threshold, left and right child of each inner node (a child < 0 is leaf ~child), and the leaves'
values."""


class BadModel(ValueError):
    """The file is no model that this version can use; the message says why."""


@dataclass(frozen=True)
class Classifier:
    """A trained model."""

    version: str
    threshold: float
    """From this probability on, a candidate is reported."""
    bigrams: Bigrams
    trees: tuple[Tree, ...]
    calibration: tuple[float, float]
    """Slope and intercept that turn the trees' score into log-odds."""

    def probability(self, vector: Sequence[float]) -> float:
        """The calibrated probability that a candidate with these features is a secret."""
        slope, intercept = self.calibration
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, slope * self.score(vector) + intercept))))

    def score(self, vector: Sequence[float]) -> float:
        """The sum of the trees' leaves for these features."""
        total = 0.0
        for features, thresholds, left, right, leaves in self.trees:
            node = 0
            while node >= 0:
                node = left[node] if vector[features[node]] <= thresholds[node] else right[node]
            total += leaves[~node]
        return total


def read_classifier(document: bytes) -> Classifier:
    """The model in a JSON document; raises `BadModel` for anything else, also for a newer format."""
    if len(document) > MAX_MODEL:
        raise BadModel(f"the model is larger than {MAX_MODEL} bytes")
    try:
        fields = json.loads(document, parse_constant=_no_number)
        if fields["format"] != FORMAT:
            raise BadModel(f"the model has format {fields['format']!r}; this version reads format {FORMAT}")
        if tuple(fields["features"]) != NAMES:
            raise BadModel("the model was trained for other features than this version computes")
        threshold = float(fields["threshold"])
        if not 0 < threshold < 1:
            raise BadModel(f"the threshold {threshold:g} is no probability between 0 and 1")
        return Classifier(
            version=str(fields["version"]),
            threshold=threshold,
            bigrams=_bigrams(fields["bigrams"]),
            trees=tuple(_tree(tree) for tree in fields["trees"]),
            calibration=(float(fields["calibration"][0]), float(fields["calibration"][1])),
        )
    except BadModel:
        raise
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise BadModel(f"the file is no model: {error!r}") from None


def _no_number(word: str) -> float:
    """Python's reader takes NaN and Infinity, and nothing is above a threshold that is not a number."""
    raise BadModel(f"{word} is no number that a model may hold")


def _bigrams(rows: list[list[float]]) -> Bigrams:
    if len(rows) != 27 or any(len(row) != 27 for row in rows):
        raise BadModel("the bigrams are no table of 27 x 27 numbers")
    return [[float(cell) for cell in row] for row in rows]


def _tree(fields: dict[str, Any]) -> Tree:
    features, thresholds = list(map(int, fields["feature"])), list(map(float, fields["threshold"]))
    left, right, leaves = (
        list(map(int, fields["left"])),
        list(map(int, fields["right"])),
        list(map(float, fields["leaf"])),
    )
    if not len(features) == len(thresholds) == len(left) == len(right) == len(leaves) - 1 or not features:
        raise BadModel("a tree has parts of different lengths")
    # A child comes behind its parent, so that no walk goes round in circles.
    for node, children in enumerate(zip(left, right, strict=True)):
        if not all(node < child < len(features) or -len(leaves) <= child < 0 for child in children):
            raise BadModel("a tree's node points outside of the tree")
    if not all(0 <= feature < len(NAMES) for feature in features):
        raise BadModel("a tree asks for a feature that does not exist")
    return features, thresholds, left, right, leaves


def packaged_classifier() -> Classifier:
    """The model that is part of this distribution."""
    return read_classifier((resources.files("analyzer.engine") / "model.json").read_bytes())
