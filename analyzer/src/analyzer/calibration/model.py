"""The calibrator as a document: reading it with distrust, and using it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from analyzer.calibration.features import NAMES, Vector, features
from analyzer.engine.checks import is_placeholder
from analyzer.engine.detect import Verdict
from analyzer.engine.rules import RULES

FORMAT = 1
_FORMATS = frozenset(rule.secret_type for rule in RULES)
GENERIC = "Generic Secret"
_FIELDS = {"format", "kind", "base", "features", "weights", "intercept", "threshold", "trained"}
_LARGEST = 100.0


class ModelError(Exception):
    """The document is no calibrator that this service can use; the message says why."""


@dataclass(frozen=True)
class Calibrator:
    """Weights for `features.NAMES`. Probability = sigmoid(intercept + weights · features)."""

    base: str
    """The engine's model version whose probabilities it was fitted on."""
    weights: Vector
    intercept: float
    threshold: float
    """At or above it a value is a secret."""
    trained: Mapping[str, float]
    """The figures of its training."""

    def probability(self, vector: Vector) -> float:
        score = self.intercept + math.fsum(w * x for w, x in zip(self.weights, vector, strict=True))
        return 1 / (1 + math.exp(-min(max(score, -30.0), 30.0)))

    def apply(self, verdict: Verdict, value: str, context: str, name: str) -> Verdict:
        """The verdict after calibration; a proven one stays as it is."""
        if is_proven(verdict, value):
            return verdict
        probability = round(self.probability(features(verdict.probability, value, context, name)), 4)
        secret = probability >= self.threshold
        moved = f"rows that people labelled move the probability from {verdict.probability:.2f}"
        if secret and not verdict.is_secret:
            kind, risk = GENERIC, "medium"
        else:
            kind, risk = (verdict.secret_type, verdict.risk_level) if secret else ("None", "low")
        return replace(
            verdict,
            is_secret=secret,
            probability=probability,
            secret_type=kind,
            risk_level=risk,
            reasons=(*verdict.reasons, f"{moved} to {probability:.2f}"),
        )

    def document(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "kind": "calibrator",
            "base": self.base,
            "features": list(NAMES),
            "weights": list(self.weights),
            "intercept": self.intercept,
            "threshold": self.threshold,
            "trained": dict(self.trained),
        }


def is_proven(verdict: Verdict, value: str) -> bool:
    """Whether the verdict rests on a checked format or a placeholder, not on an estimate."""
    return verdict.secret_type in _FORMATS or is_placeholder(value.encode(errors="surrogatepass"))


def digest(document: Mapping[str, object]) -> str:
    """SHA-256 of the document in its canonical form."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def load(document: object, base: str) -> Calibrator:
    """The calibrator in `document` for the engine version `base`; `ModelError` for anything else."""
    if not isinstance(document, Mapping):
        raise ModelError("the model is not a JSON object")
    made = document.get("format")
    if not isinstance(made, int) or isinstance(made, bool):
        raise ModelError("the model does not say its format")
    if made > FORMAT:
        raise ModelError(
            f"the model has format {made}, newer than this service reads ({FORMAT}); upgrade it first"
        )
    if made < 1 or document.get("kind") != "calibrator" or set(document) != _FIELDS:
        raise ModelError(
            f"the model is not a calibrator of format {FORMAT} with the fields {sorted(_FIELDS)}"
        )
    if document["features"] != list(NAMES):
        raise ModelError("the model was made for other features than this service computes")
    if document["base"] != base:
        raise ModelError(f"the model was fitted on another engine version than {base}; train it again")
    weights = document["weights"]
    if not isinstance(weights, list) or len(weights) != len(NAMES):
        raise ModelError(f"the model needs {len(NAMES)} weights")
    trained = document["trained"]
    if not isinstance(trained, Mapping) or len(trained) > 32:
        raise ModelError("the model's figures are not an object of at most 32 numbers")
    threshold = _number(document["threshold"], "threshold")
    if not 0 < threshold < 1:
        raise ModelError("the model's threshold is not between 0 and 1")
    return Calibrator(
        base,
        tuple(_number(weight, "weight") for weight in weights),
        _number(document["intercept"], "intercept"),
        threshold,
        {_figure_name(name): _number(figure, "figure", largest=1e9) for name, figure in trained.items()},
    )


def _number(value: object, what: str, largest: float = _LARGEST) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError(f"a {what} of the model is not a number")
    # An integer of any size can be compared, not converted.
    if not -largest <= value <= largest:
        raise ModelError(f"a {what} of the model is not a number between -{largest:g} and {largest:g}")
    return float(value)


def _figure_name(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii() or len(name) > 40:
        raise ModelError("a figure of the model has no plain name")
    return name
