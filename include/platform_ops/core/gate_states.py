"""Where the gates of a release stand before its promotion: what the ledger holds, and what happens next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .gates import FAILED, IN_PODS, OF_THE_IMAGE, OF_THE_SOURCE, PASSED, Required, refusal
from .records import GateResult

MISSING = "missing"
STALE = "stale"
"""What the result was made from has changed since: it is not taken again."""
NOT_RUN = "not run"


@dataclass(frozen=True)
class GateState:
    gate: str
    state: str
    """`passed`, `failed`, `missing`, `stale` or `not run`."""
    todo: str
    """What the promotion will do about it, or what people have to."""
    reason: str = ""
    """What its result says."""
    at: datetime | None = None
    """Of its result; None without one."""
    cached: bool = False
    """The promotion takes the result as it is, since equal inputs have passed."""
    required: bool = True
    """False: advisory, so that it refuses nothing."""

    @property
    def refuses(self) -> bool:
        return self.required and self.state == FAILED


@dataclass(frozen=True)
class GatesSeen:
    """What is known of the gates of one commit and its digest."""

    results: Sequence[GateResult] = ()
    """The newest of each gate."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Gate to the digest of its inputs as they are now; a gate that is not in it cannot be compared."""
    kept: Mapping[str, GateResult] = field(default_factory=dict)
    """Gate to the passed result of equal inputs, of whichever commit."""


def gate_states(required: Required, seen: GatesSeen, besides: Sequence[str] = ()) -> tuple[GateState, ...]:
    """The required gates of source and image, those that somebody else requires `besides`, then the advisory
    ones. Gates of the environment are not among them: `core.admission` judges those."""
    found = {result.gate: result for result in seen.results}
    wanted = (*required.of((*OF_THE_SOURCE, *OF_THE_IMAGE)), *besides)
    states = [_state(gate, found.get(gate), seen) for gate in wanted]
    return (*states, *_advisory(required.advisory.items()))


def _state(gate: str, result: GateResult | None, seen: GatesSeen) -> GateState:
    kept = seen.kept.get(gate)
    if kept is not None:
        return GateState(gate, PASSED, "equal inputs have passed: no pod runs", _reason(kept), kept.at, True)
    runs = "the promotion runs it" if gate in IN_PODS else "the promotion decides it"
    if result is None:
        return GateState(gate, MISSING, f"it has no result yet: {runs}")
    reason, at = _reason(result), result.at
    if gate in seen.inputs and result.input_digest != seen.inputs[gate]:
        return GateState(gate, STALE, f"its inputs have changed since: {runs} again", reason, at)
    if result.outcome == FAILED:
        (sentence,) = refusal(Required((gate,)), [result]) or (f"{gate} failed: correct what its log names",)
        return GateState(gate, FAILED, sentence.rpartition(": ")[2], reason, at)
    if result.outcome != PASSED:
        return GateState(gate, NOT_RUN, f"that is no pass: {runs} again", reason, at)
    return GateState(gate, PASSED, f"{runs} again", reason, at)


def _advisory(gates: Iterable[tuple[str, str]]) -> Iterable[GateState]:
    todo = "nothing here can run it; it refuses nothing"
    return (GateState(gate, NOT_RUN, todo, reason, required=False) for gate, reason in gates)


def _reason(result: GateResult) -> str:
    return str(result.detail.get("reason") or "").strip()
