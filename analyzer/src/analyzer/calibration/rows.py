"""Labelled rows, looked at before anything learns from them. Only numbers leave this module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analyzer.calibration.features import Vector, features
from analyzer.calibration.model import is_proven
from analyzer.engine.detect import Verdict

LEAST_OF_A_CLASS = 10
CONTRADICTIONS = 0.02
"""Share of rows that may contradict a proof (they are left out); with more the labels are not trusted."""


class HostileRows(Exception):
    """Nothing should be learnt from these rows; the message says why, by row number."""


@dataclass(frozen=True)
class LabelledRow:
    """A value and where it stands, and whether people say that it is a secret."""

    value: str
    context: str
    name: str
    is_secret: bool


@dataclass(frozen=True)
class Example:
    """What is learnt from."""

    vector: Vector
    engine_probability: float
    is_secret: bool


def examine(rows: Sequence[LabelledRow], judge: Callable[[str, str, str], Verdict]) -> list[Example]:
    """One example for each distinct row that the engine has not proven; raises `HostileRows`."""
    _labels_agree(rows)
    examples: list[Example] = []
    against: list[int] = []
    # A row that is repeated counts once: weight cannot be bought by repetition.
    distinct = dict.fromkeys(rows)
    for number, row in enumerate(distinct):
        verdict = judge(row.value, row.context, row.name)
        if not is_proven(verdict, row.value):
            vector = features(verdict.probability, row.value, row.context, row.name)
            examples.append(Example(vector, verdict.probability, row.is_secret))
        elif verdict.is_secret != row.is_secret:
            against.append(number)
    if len(against) > CONTRADICTIONS * len(distinct):
        raise HostileRows(
            f"{len(against)} of {len(distinct)} rows contradict a proof (a checked format or a placeholder),"
            f" for example {_some(against)}: are the labels poisoned?"
        )
    for label in (True, False):
        count = sum(example.is_secret is label for example in examples)
        if count < LEAST_OF_A_CLASS:
            raise HostileRows(
                f"{count} usable rows with is_secret={str(label).lower()}; at least {LEAST_OF_A_CLASS} are"
                " needed that no format or placeholder decides already"
            )
    return examples


def _labels_agree(rows: Sequence[LabelledRow]) -> None:
    first: dict[tuple[str, str, str], bool] = {}
    differing = [
        number
        for number, row in enumerate(rows)
        if first.setdefault((row.value, row.context, row.name), row.is_secret) is not row.is_secret
    ]
    if differing:
        raise HostileRows(f"{_some(differing)}: the same row has both labels")


def _some(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:5])
    return f"row{'s' if len(numbers) > 1 else ''} {shown}{', …' if len(numbers) > 5 else ''} (from 0)"
