"""Reads the gate policy, and reports everything that is wrong with it at once."""

from __future__ import annotations

from pathlib import Path

from platform_ops.core.errors import CatalogError

from . import last_valid, source
from .last_valid import Loaded
from .policy_models import GatePolicy
from .validation import validated

LAST_VALID = "gate-policy.last-valid.json"


def load_policy(path: Path) -> GatePolicy:
    """The policy of a file. CatalogError holds every problem as `file:line: key: problem`."""
    parsed = source.read(path)
    policy, problems = validated(GatePolicy, parsed)
    problems = [*parsed.problems, *problems]
    if problems or policy is None:
        ordered = sorted(set(problems), key=lambda problem: (problem.line, problem.key))
        raise CatalogError([problem.at(str(path)) for problem in ordered])
    return policy


def load_last_valid_policy(path: Path, state: Path | None) -> Loaded[GatePolicy]:
    """The file's policy, or the last one that was good, with the file's problems."""
    return last_valid.load_last_valid(GatePolicy, lambda: load_policy(path), state, LAST_VALID)
