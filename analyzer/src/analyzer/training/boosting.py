"""Gradient-boosted trees by LightGBM, and their calibration; the libraries are needed for training only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np

from analyzer.engine.classifier import Tree
from analyzer.engine.features import FALLING, NAMES, RISING

DIGITS = 6
PARAMETERS: dict[str, Any] = {
    "objective": "binary", "learning_rate": 0.06, "num_leaves": 12, "max_depth": 5, "min_data_in_leaf": 8,
    "lambda_l2": 5.0, "feature_fraction": 0.6, "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63,
    "monotone_constraints": [(name in RISING) - (name in FALLING) for name in NAMES],
    "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1,
}  # fmt: skip
ROUNDS = 160


def boosted(
    vectors: Sequence[Sequence[float]],
    labels: Sequence[int],
    weights: Sequence[float],
    seed: int,
    leave_out: range = range(0),
) -> tuple[Tree, ...]:
    """The trees for n vectors (n x features), 0/1 labels and weights; `leave_out` names features that stay
    unused."""
    table = np.array(vectors, dtype=np.float64)
    table[:, list(leave_out)] = 0.0
    data = lightgbm.Dataset(
        table,
        label=list(labels),
        weight=list(weights),
        params={"max_bin": PARAMETERS["max_bin"], "verbosity": -1},
    )
    booster = lightgbm.train({**PARAMETERS, "seed": seed}, data, num_boost_round=ROUNDS)
    trees = []
    for entry in booster.dump_model()["tree_info"]:
        tree: Tree = ([], [], [], [], [])
        if "split_index" in entry["tree_structure"]:
            _flatten(entry["tree_structure"], tree)
            trees.append(tree)
    return tuple(trees)


def _flatten(node: dict[str, Any], tree: Tree) -> int:
    """Appends a node and what hangs on it; its index, or ~index for a leaf."""
    features, thresholds, left, right, leaves = tree
    if "leaf_value" in node:
        leaves.append(round(node["leaf_value"], DIGITS))
        return ~(len(leaves) - 1)
    index = len(features)
    features.append(int(node["split_feature"]))
    thresholds.append(round(float(node["threshold"]), DIGITS))
    left.append(0)
    right.append(0)
    left[index] = _flatten(node["left_child"], tree)
    right[index] = _flatten(node["right_child"], tree)
    return index


def calibrated(scores: Sequence[float], labels: Sequence[int]) -> tuple[float, float]:
    """Platt's slope and intercept for scores of rows that the trees were not trained on (Newton's method)."""
    positives = sum(labels)
    targets = [
        (positives + 1) / (positives + 2) if label else 1 / (len(labels) - positives + 2) for label in labels
    ]
    slope, intercept = 1.0, 0.0
    for _ in range(50):
        gradient, hessian = np.zeros(2), np.eye(2) * 1e-9
        for score, target in zip(scores, targets, strict=True):
            p = 1 / (1 + math.exp(-max(-30.0, min(30.0, slope * score + intercept))))
            part = np.array([score, 1.0])
            gradient += (p - target) * part
            hessian += p * (1 - p) * np.outer(part, part)
        step = np.linalg.solve(hessian, gradient)
        slope, intercept = slope - float(step[0]), intercept - float(step[1])
        if float(np.abs(step).max()) < 1e-9:
            break
    return round(slope, DIGITS), round(intercept, DIGITS)
