"""Fitting: logistic regression by Newton's method, held against examples set aside. Deterministic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from analyzer.calibration.features import NAMES, Vector
from analyzer.calibration.model import Calibrator
from analyzer.calibration.rows import Example

_RIDGE = 1.0
_STEPS = 25
_HELD_OUT = 5
"""Every fifth example of a class is set aside."""


class NotBetter(Exception):
    """The fitted model must not be used; the message says why."""


def fit(examples: Sequence[Example], base: str) -> Calibrator:
    """A calibrator that is better than the engine alone on what it has not seen; else `NotBetter`."""
    seen, unseen = _split(examples)
    parameters = _newton([(1.0, *e.vector) for e in seen], [e.is_secret for e in seen])
    intercept, weights = parameters[0], tuple(parameters[1:])
    trial = Calibrator(base, weights, intercept, 0.5, {})
    if weights[NAMES.index("engine_logit")] < 0 and _agreement(seen) < 0.5:
        raise NotBetter("the labels say the opposite of the engine throughout: are they poisoned?")
    share = sum(e.is_secret for e in seen) / len(seen)
    losses = [_loss(trial.probability(e.vector), e.is_secret) for e in unseen]
    without = [_loss(e.engine_probability, e.is_secret) for e in unseen]
    _require_gain("the engine alone", without, losses)
    # Random labels are met best by their share: whoever learns only that knows nothing of secrets.
    _require_gain("the share of secrets", [_loss(share, e.is_secret) for e in unseen], losses)
    called = [(trial.probability(e.vector) >= trial.threshold, e.is_secret) for e in unseen]
    trained = {
        "rows": float(len(examples)),
        "rows_set_aside": float(len(unseen)),
        "log_loss_engine": round(fmean(without), 6),
        "log_loss": round(fmean(losses), 6),
        "precision": _share(called, given=0),
        "recall": _share(called, given=1),
    }
    rounded = tuple(round(min(max(w, -50.0), 50.0), 8) for w in weights)
    return Calibrator(base, rounded, round(min(max(intercept, -50.0), 50.0), 8), 0.5, trained)


def _require_gain(rival: str, of_rival: Sequence[float], losses: Sequence[float]) -> None:
    """`NotBetter` unless the losses are lower than the rival's by more than two standard errors."""
    gains = [old - new for old, new in zip(of_rival, losses, strict=True)]
    if fmean(gains) <= 2 * stdev(gains) / math.sqrt(len(gains)):
        raise NotBetter(
            f"no gain beyond luck: on {len(losses)} rows set aside the log loss is {fmean(losses):.4f}, and"
            f" {fmean(of_rival):.4f} by {rival}"
        )


def _split(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Seen and unseen. By content, not by the order of sending, and each class in its share."""
    seen: list[Example] = []
    unseen: list[Example] = []
    for label in (True, False):
        ordered = sorted((e for e in examples if e.is_secret is label), key=lambda e: e.vector)
        for number, example in enumerate(ordered):
            (unseen if number % _HELD_OUT == 2 else seen).append(example)
    return seen, unseen


def _newton(rows: Sequence[Vector], labels: Sequence[bool]) -> list[float]:
    """Minimises the log loss with a ridge penalty on all but the intercept."""
    width = len(rows[0])
    theta = [0.0] * width
    for _ in range(_STEPS):
        gradient = [0.0] + [_RIDGE * t for t in theta[1:]]
        hessian = [[_RIDGE if i == j and i else 0.0 for j in range(width)] for i in range(width)]
        for row, label in zip(rows, labels, strict=True):
            score = sum(t * x for t, x in zip(theta, row, strict=True))
            p = 1 / (1 + math.exp(-min(max(score, -30.0), 30.0)))
            for i, x in enumerate(row):
                gradient[i] += (p - label) * x
                scaled = p * (1 - p) * x
                for j in range(i, width):
                    hessian[i][j] += scaled * row[j]
        step = _solve(hessian, gradient)
        theta = [t - s for t, s in zip(theta, step, strict=True)]
        if max(map(abs, step)) < 1e-8:
            break
    return theta


def _solve(upper: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a symmetric positive definite system, given its upper triangle (Gauss)."""
    n = len(right)
    a = [
        [upper[min(i, j)][max(i, j)] + (1e-9 if i == j else 0.0) for j in range(n)] + [right[i]]
        for i in range(n)
    ]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(a[k][i]))
        a[i], a[pivot] = a[pivot], a[i]
        for k in range(i + 1, n):
            factor = a[k][i] / a[i][i]
            for j in range(i, n + 1):
                a[k][j] -= factor * a[i][j]
    x = [0.0] * n
    for i in reversed(range(n)):
        x[i] = (a[i][n] - sum(a[i][j] * x[j] for j in range(i + 1, n))) / a[i][i]
    return x


def _agreement(examples: Sequence[Example]) -> float:
    return sum((e.engine_probability >= 0.5) is e.is_secret for e in examples) / len(examples)


def _loss(probability: float, label: bool) -> float:
    """The log loss of one example."""
    return -math.log(min(max(probability if label else 1 - probability, 1e-6), 1.0))


def _share(called: Sequence[tuple[bool, bool]], given: int) -> float:
    """Of the pairs (called, labelled) whose `given` side is true, the share where both are."""
    chosen = [pair for pair in called if pair[given]]
    return round(sum(all(pair) for pair in chosen) / len(chosen), 4) if chosen else 0.0
