"""How letters follow each other in what people write: learnt from the lines around the values."""

from __future__ import annotations

import math
from collections.abc import Iterable

from analyzer.training.rows import MARK

OTHER = 26
_SMOOTHING = 0.5


def bigrams_of(contexts: Iterable[str]) -> list[list[float]]:
    """27 x 27 log-probabilities of a letter behind another; index 26 is whatever is no letter."""
    counts = [[_SMOOTHING] * 27 for _ in range(27)]
    for context in contexts:
        previous = OTHER
        for character in context.replace(MARK, " ").lower():
            symbol = ord(character) - 97 if "a" <= character <= "z" else OTHER
            counts[previous][symbol] += 1
            previous = symbol
    return [[round(math.log(cell / sum(row)), 4) for cell in row] for row in counts]
