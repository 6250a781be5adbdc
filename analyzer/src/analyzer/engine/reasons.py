"""Why the classifier says what it says, in words that give nothing of the value away."""

from __future__ import annotations

from analyzer.engine.assignments import Candidate
from analyzer.engine.checks import is_placeholder
from analyzer.engine.features import entropy_of

_ENTROPY_SHOWN = 12


def reasons_for(candidate: Candidate, is_secret: bool) -> tuple[str, ...]:
    """Two or three short sentences on the name and the value."""
    name, value = candidate.name, candidate.value
    said = []
    if name.kind is None:
        said.append("its name says nothing of a secret")
    elif name.about and not name.last:
        said.append(f"its name speaks about a {name.kind} rather than naming one")
    else:
        said.append(f"its name says that it is a {name.kind}")
    if is_placeholder(value):
        said.append("people write this where a secret will stand")
    elif len(value) >= _ENTROPY_SHOWN:
        said.append(f"{entropy_of(value):.1f} bits of entropy for each character")
    else:
        said.append(
            "it is short, as passwords are" if is_secret else "it is too short or too regular to be one"
        )
    return tuple(said)
