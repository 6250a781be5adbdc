"""What came out of a gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 20
"""Problems that a result lists; the log has all."""
LONGEST = 300


@dataclass(frozen=True)
class Result:
    """`passed`, `failed`, or `not_run` when there was nothing that the gate could look at."""

    outcome: str
    reason: str
    """One sentence."""
    counts: Mapping[str, int] = field(default_factory=dict)
    problems: Sequence[str] = ()
    coverage: Mapping[str, Any] | None = None
    """Of a suite: percent, and for each file the bit sets of its statements and of those that ran, in hex."""

    def to_json(self) -> dict[str, Any]:
        """As it is handed over: problems in one line each, and not more than a reader takes in."""
        found = asdict(self)
        found["problems"] = [visible(problem) for problem in self.problems[:SHOWN]]
        found["counts"] = {**self.counts, "problems": len(self.problems)}
        return {key: value for key, value in found.items() if value is not None}


def visible(text: str) -> str:
    """One line of bounded length, in which no character moves the reader's cursor."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"
