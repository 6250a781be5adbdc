"""What the calibrator sees of a value, its name and its context: numbers of about unit size, never text."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TypeAlias

Vector: TypeAlias = tuple[float, ...]

NAMES = (
    "engine_logit",
    "log_length",
    "entropy",
    "digits",
    "upper_case",
    "symbols",
    "spaces",
    "secret_name",
    "secret_context",
    "test_context",
)
_SECRET = re.compile(r"(?i)pass|pwd|secret|token|key|credential|auth|bearer")
_TEST = re.compile(r"(?i)test|example|sample|dummy|fake|mock|fixture|demo")
_SEEN = 4096
"""Characters of a value or a context that are looked at: more says no more."""


def logit(probability: float) -> float:
    """Log odds; 0 and 1 are taken as 0.001 and 0.999."""
    bounded = min(max(probability, 0.001), 0.999)
    return math.log(bounded / (1 - bounded))


def features(engine_probability: float, value: str, context: str, name: str) -> Vector:
    """One number for each of `NAMES`, about -2 to 2."""
    value, context = value[:_SEEN], context[:_SEEN]
    length = max(len(value), 1)
    return (
        logit(engine_probability) / 2,
        math.log2(length) / 4 - 1,
        _entropy(value) / 3 - 1,
        sum(map(str.isdigit, value)) / length,
        sum(map(str.isupper, value)) / length,
        sum(not (c.isalnum() or c.isspace()) for c in value) / length,
        float(any(map(str.isspace, value))),
        float(bool(_SECRET.search(name))),
        float(bool(_SECRET.search(context))),
        float(bool(_TEST.search(context) or _TEST.search(name))),
    )


def _entropy(value: str) -> float:
    """Bits of a character, from how often each occurs in `value`."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
