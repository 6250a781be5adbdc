"""What a vote rests on: the outcomes of the gates, as the voter was shown them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from .records import PASSED, GateResult


@dataclass(frozen=True, order=True)
class Outcome:
    """One gate's newest outcome for one subject (a commit or a digest)."""

    gate: str
    subject: str
    outcome: str


@dataclass(frozen=True)
class Evidence:
    """The newest outcomes of a release's commit and digest, in the order of gate and subject."""

    outcomes: tuple[Outcome, ...] = ()

    @classmethod
    def of(cls, newest: Iterable[GateResult]) -> Evidence:
        """`newest` holds one result a gate and subject. When it was measured, and the detail, do not count:
        a scan that was repeated with the same outcome is the same evidence."""
        return cls(tuple(sorted(Outcome(one.gate, one.subject, one.outcome) for one in newest)))

    @property
    def fingerprint(self) -> str:
        """sha256 in hex, equal for equal outcomes."""
        listed = [[one.gate, one.subject, one.outcome] for one in self.outcomes]
        return hashlib.sha256(json.dumps(listed, separators=(",", ":")).encode()).hexdigest()

    def changes(self, now: Evidence) -> tuple[str, ...]:
        """What is no longer as it was shown, a sentence each; empty: the votes stand.

        A gate that was not shown and passes now adds to the evidence and takes nothing from it.
        """
        present = {(one.gate, one.subject): one.outcome for one in now.outcomes}
        shown = {(one.gate, one.subject): one.outcome for one in self.outcomes}
        changed = [
            f"gate {gate} was {outcome}, is {present.get((gate, subject), 'unknown')} now"
            for (gate, subject), outcome in shown.items()
            if present.get((gate, subject)) != outcome
        ]
        unseen = [
            f"gate {gate} was not shown, is {outcome} now"
            for (gate, subject), outcome in present.items()
            if (gate, subject) not in shown and outcome != PASSED
        ]
        return (*changed, *unseen)


NOTHING = Evidence()
"""No gate has a result yet."""
