"""Gates as data: nothing but a pass passes, and every refusal says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import MIDNIGHT
from hypothesis import given
from hypothesis import strategies as st

from platform_ops.core.gates import (
    FAILED,
    NOT_RUN,
    OF_THE_IMAGE,
    OF_THE_SOURCE,
    OUTCOMES,
    PASSED,
    SUITES,
    Required,
    input_digest,
    judge_coverage,
    refusal,
    shown,
    union_of,
)
from platform_ops.core.records import GateResult

JUDGED = (*OF_THE_SOURCE, *OF_THE_IMAGE)
SUITE = {"files": {"src/a.py": ["1e", "6"]}}
"""Lines 1 to 4 are statements; 1 and 2 ran."""


def result(gate: str, outcome: str = PASSED, **detail: Any) -> GateResult:
    return GateResult("web", "c" * 40, gate, outcome, detail, MIDNIGHT)


@pytest.mark.parametrize(
    ("results", "words"),
    [
        pytest.param([], "lint is required and has no result: clear the task of `lint`", id="missing"),
        pytest.param(
            [result("lint", FAILED, reason="flake8 found 3 problem(s)")],
            "lint failed (flake8 found 3 problem(s)): correct what its log names",
            id="failed",
        ),
        pytest.param(
            [result("lint", NOT_RUN, reason="no Python file at src")],
            "lint was not run (no Python file at src), and that is no pass",
            id="not-run",
        ),
        pytest.param([result("types")], "lint is required and has no result", id="another-gates-pass"),
    ],
)
def test_a_required_gate_that_has_not_passed_is_named_with_what_to_do(
    results: list[GateResult], words: str
) -> None:
    (sentence,) = refusal(Required(("lint",)), results)
    assert sentence.startswith(words)


outcomes = st.dictionaries(st.sampled_from(JUDGED), st.sampled_from(OUTCOMES))


@given(st.sets(st.sampled_from(JUDGED)), outcomes)
def test_exactly_the_required_gates_that_did_not_pass_refuse(wanted: set[str], found: dict[str, str]) -> None:
    required = Required(tuple(sorted(wanted)))
    refused = refusal(required, [result(gate, outcome) for gate, outcome in found.items()])
    assert {words.split()[0] for words in refused} == {gate for gate in wanted if found.get(gate) != PASSED}


@given(outcomes)
def test_an_advisory_gate_refuses_nothing_and_is_never_shown_as_passed(found: dict[str, str]) -> None:
    required = Required((), advisory={"windows": "no such node", **dict.fromkeys(found, "not here")})
    assert refusal(required, [result(gate, outcome) for gate, outcome in found.items()]) == ()
    assert "windows: not run: no such node" in shown(required)
    assert all(": not run: " in words for words in shown(required))


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), min_size=1))
def test_equal_inputs_have_one_digest_whatever_their_order(inputs: dict[str, str]) -> None:
    order = {"order": inputs}
    turned = {"order": dict(reversed(inputs.items()))}
    assert input_digest(tree="t", **order) == input_digest(**turned, tree="t")
    assert input_digest(tree="other", **order) != input_digest(tree="t", **order)


lines = st.sets(st.integers(1, 200))


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.tuples(lines, lines)), max_size=4))
def test_the_union_counts_a_line_once(suites: list[dict[str, tuple[set[int], set[int]]]]) -> None:
    def bits(numbers: set[int]) -> str:
        return f"{sum(1 << number for number in numbers):x}"

    found = union_of(
        [{name: [bits(there), bits(ran)] for name, (there, ran) in suite.items()} for suite in suites]
    )
    there = {(name, n) for suite in suites for name, (statements, _) in suite.items() for n in statements}
    ran = {(name, n) for suite in suites for name, (_, executed) in suite.items() for n in executed}
    assert (found.statements, found.ran) == (len(there), len(ran & there))


def coverage(minimum: float, *suites: GateResult) -> tuple[str, str]:
    outcome, reason, _ = judge_coverage(Required((*SUITES, "coverage"), minimum_coverage=minimum), suites)
    return outcome, reason


def three(unit: dict[str, Any] | None) -> list[GateResult]:
    rest = {"files": {"src/a.py": ["1e", "c"]}}
    return [result("unit", coverage=unit), result("integration", coverage=rest), result("api", coverage=rest)]


def test_coverage_is_of_all_suites_together_and_must_be_above_the_minimum() -> None:
    assert coverage(74.9, *three(SUITE)) == (PASSED, "75.0 % of 4 statements ran in unit, integration, api")
    outcome, reason = coverage(75, *three(SUITE))
    assert (outcome, reason.partition("; ")[2]) == (FAILED, "more than 75 % is required: add tests")


def test_a_suite_that_did_not_pass_or_measure_gives_no_coverage() -> None:
    unit, integration, _ = three(SUITE)
    assert coverage(1, unit, integration) == (NOT_RUN, "needs a passed result of api")
    assert coverage(1, unit, integration, result("api", FAILED))[0] == NOT_RUN
    outcome, reason = coverage(1, *three(None))
    assert (outcome, reason.partition(":")[0]) == (NOT_RUN, "unit measured nothing")
    assert judge_coverage(Required(("coverage",)), [])[0] == NOT_RUN
