"""The model as a file: JSON with sorted keys and rounded numbers, so that the same input gives the same
bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from analyzer.engine.classifier import FORMAT, Classifier
from analyzer.engine.features import NAMES


def model_document(classifier: Classifier) -> bytes:
    """The JSON document of a trained model; its version is a hash of the rest."""
    fields: dict[str, Any] = {
        "format": FORMAT,
        "features": list(NAMES),
        "threshold": classifier.threshold,
        "bigrams": classifier.bigrams,
        "calibration": list(classifier.calibration),
        "trees": [
            {"feature": features, "threshold": thresholds, "left": left, "right": right, "leaf": leaves}
            for features, thresholds, left, right, leaves in classifier.trees
        ],
    }
    body = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    fields["version"] = "model-" + hashlib.sha256(body.encode()).hexdigest()[:12]
    return (json.dumps(fields, sort_keys=True, separators=(",", ":")) + "\n").encode()
