"""Gates as data: what must have passed before a release may go where, and in which words it is refused.

No data is not success (design, rule 4): a gate that is missing or was not run never passes. Only an advisory
gate, which the policy names with the reason why nothing here can run it, refuses nothing and is shown so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .records import GateResult

PASSED = "passed"
FAILED = "failed"
NOT_RUN = "not_run"
OUTCOMES = (PASSED, FAILED, NOT_RUN)

SUITES = ("unit", "integration", "api")
"""Gates that run tests of the service; each measures the coverage of its own."""
COVERAGE = "coverage"
IN_PODS = ("format", "imports", "lint", "types", *SUITES)
"""Gates of the source that a tool decides in a pod."""
OF_THE_SOURCE = ("source", *IN_PODS, COVERAGE)
"""Their subject is a commit."""
OF_THE_IMAGE = ("image",)
"""Their subject is a digest."""
STAGING = "staging"
INCIDENTS = "incidents"
FREEZE = "freeze"
OF_THE_ENVIRONMENT = (STAGING, INCIDENTS, FREEZE)
"""What the world must be like; asked when a run begins and again at the last moment. Their subject is an
environment."""
SIGNATURES = "signatures"
"""Of a commit; the catalog requires it, not the policy."""
GATES = (*OF_THE_SOURCE, *OF_THE_IMAGE, *OF_THE_ENVIRONMENT)
"""Every gate that something here can decide."""


@dataclass(frozen=True)
class Required:
    """What an environment asks for."""

    gates: tuple[str, ...]
    advisory: Mapping[str, str] = field(default_factory=dict)
    """Gates that the environment should have, and why nothing here can run them."""
    minimum_coverage: float = 0.0
    """Percent; the gate `coverage` passes above it."""

    def of(self, kind: Sequence[str]) -> tuple[str, ...]:
        """Those of one kind, in the policy's order."""
        return tuple(gate for gate in self.gates if gate in kind)


def refusal(required: Required, results: Iterable[GateResult]) -> tuple[str, ...]:
    """A sentence for each required gate of source or image that has not passed; empty: the release goes on.

    `results` are the newest of each gate for the release's commit and digest.
    """
    found = {result.gate: result for result in results}
    wanted = required.of((*OF_THE_SOURCE, *OF_THE_IMAGE))
    return tuple(words for gate in wanted if (words := _refused(gate, found.get(gate))))


def shown(required: Required) -> tuple[str, ...]:
    """The advisory gates, each with why it was not run: what people read beside the ones that passed."""
    return tuple(f"{gate}: not run: {reason}" for gate, reason in required.advisory.items())


def _refused(gate: str, result: GateResult | None) -> str:
    again = f"clear the task of `{gate}` so that it runs, or promote again"
    if result is None:
        return f"{gate} is required and has no result: {again}"
    why = str(result.detail.get("reason") or "").strip()
    if result.outcome == FAILED:
        return f"{gate} failed{f' ({why})' if why else ''}: correct what its log names and push"
    if result.outcome != PASSED:
        return f"{gate} was not run{f' ({why})' if why else ''}, and that is no pass: {again}"
    return ""


def input_digest(**inputs: Any) -> str:
    """What a result is kept under: equal inputs give an equal result. Values are JSON."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True)
class Coverage:
    statements: int
    ran: int

    @property
    def percent(self) -> float:
        return 100 * self.ran / self.statements if self.statements else 0.0


def union_of(measured: Iterable[Mapping[str, Sequence[str]]]) -> Coverage:
    """The coverage of several suites together.

    Each maps a file to two bit sets in hex: its statements, and those that ran; bit n stands for line n.
    """
    there: dict[str, int] = {}
    ran: dict[str, int] = {}
    for files in measured:
        for name, (statements, executed) in files.items():
            there[name] = there.get(name, 0) | int(statements, 16)
            ran[name] = ran.get(name, 0) | int(executed, 16)
    return Coverage(
        statements=sum(bits.bit_count() for bits in there.values()),
        ran=sum((ran[name] & bits).bit_count() for name, bits in there.items()),
    )


def judge_coverage(required: Required, suites: Iterable[GateResult]) -> tuple[str, str, Coverage]:
    """Outcome, reason and figure of the gate `coverage`, from the newest results of a commit's suites."""
    found = {result.gate: result for result in suites}
    asked = required.of(SUITES)
    missing = [suite for suite in asked if suite not in found or found[suite].outcome != PASSED]
    measured = {suite: found[suite].detail.get("coverage") for suite in asked if suite in found}
    unmeasured = [suite for suite, coverage in measured.items() if not coverage]
    if not asked or missing:
        return NOT_RUN, f"needs a passed result of {', '.join(missing) or 'a suite'}", Coverage(0, 0)
    if unmeasured:
        return (
            NOT_RUN,
            f"{', '.join(unmeasured)} measured nothing: name `covered` in the catalog",
            Coverage(0, 0),
        )
    total = union_of(coverage["files"] for coverage in measured.values() if coverage)
    figure = f"{total.percent:.1f} % of {total.statements} statements ran in {', '.join(asked)}"
    if total.percent > required.minimum_coverage:
        return PASSED, figure, total
    return FAILED, f"{figure}; more than {required.minimum_coverage:g} % is required: add tests", total
