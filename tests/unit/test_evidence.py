"""What votes rest on: which changes of the gates' outcomes take it away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import MIDNIGHT, seconds
from hypothesis import given
from hypothesis import strategies as st

from platform_ops.core.evidence import Evidence, Outcome
from platform_ops.core.records import GateResult

COMMIT, DIGEST = "c" * 40, "sha256:" + "d" * 64


def of(**outcomes: str) -> Evidence:
    return Evidence(tuple(sorted(Outcome(gate, COMMIT, outcome) for gate, outcome in outcomes.items())))


outcomes = st.lists(
    st.builds(
        Outcome,
        st.sampled_from(["source", "image", "unit"]),
        st.sampled_from([COMMIT, DIGEST]),
        st.sampled_from(["passed", "failed", "not_run"]),
    ),
    unique_by=lambda one: (one.gate, one.subject),
)


def results(listed: list[Outcome]) -> list[GateResult]:
    return [
        GateResult("llm-service", one.subject, one.gate, one.outcome, {}, MIDNIGHT + seconds(number))
        for number, one in enumerate(listed)
    ]


@given(outcomes, st.randoms())
def test_the_fingerprint_depends_on_the_outcomes_alone(listed: list[Outcome], chance: object) -> None:
    """Neither the order, nor when a gate ran, nor what else it found."""
    first = results(listed)
    again = [replace(one, at=one.at + seconds(99), detail={"n": 1}) for one in first]
    chance.shuffle(again)  # type: ignore[attr-defined]
    assert Evidence.of(first) == Evidence.of(again)
    assert Evidence.of(first).fingerprint == Evidence.of(again).fingerprint


@given(outcomes, outcomes)
def test_equal_fingerprints_are_equal_evidence(one: list[Outcome], other: list[Outcome]) -> None:
    before, after = Evidence.of(results(one)), Evidence.of(results(other))
    assert (before.fingerprint == after.fingerprint) == (before == after)
    if before == after:
        assert before.changes(after) == ()


@given(outcomes, outcomes)
def test_votes_stand_only_on_outcomes_that_are_as_they_were_shown(
    shown: list[Outcome], present: list[Outcome]
) -> None:
    before, after = Evidence.of(results(shown)), Evidence.of(results(present))
    if not before.changes(after):
        assert set(before.outcomes) <= set(after.outcomes)
        assert {one.outcome for one in set(after.outcomes) - set(before.outcomes)} <= {"passed"}


@pytest.mark.parametrize(
    ("shown", "now", "changes"),
    [
        pytest.param(of(source="passed"), of(source="passed"), (), id="the-same"),
        pytest.param(
            of(source="passed"),
            of(source="failed"),
            ("gate source was passed, is failed now",),
            id="failed-since",
        ),
        pytest.param(
            of(source="failed"),
            of(source="passed"),
            ("gate source was failed, is passed now",),
            id="passed-since",
        ),
        pytest.param(of(source="passed"), of(source="passed", unit="passed"), (), id="another-gate-passed"),
        pytest.param(
            of(source="passed"),
            of(source="passed", unit="not_run"),
            ("gate unit was not shown, is not_run now",),
            id="another-gate-did-not-pass",
        ),
        pytest.param(of(), of(source="passed"), (), id="nothing-was-shown"),
    ],
)
def test_a_change_is_told_in_words(shown: Evidence, now: Evidence, changes: tuple[str, ...]) -> None:
    assert shown.changes(now) == changes
