"""Quorum by role: who counts, who does not, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import MIDNIGHT, seconds

from platform_ops.core.approvals import ApprovalRule, QuorumResult, Vote, quorum

PRODUCTION = ApprovalRule(
    {"senior_developer": 2, "devops": 1},
    {
        "senior_developer": frozenset({"senior1", "senior2", "senior3"}),
        "devops": frozenset({"devops", "senior1"}),
    },
)
SENIOR, DEVOPS = "senior_developer", "devops"


def count(
    *answers: tuple[str, str], rule: ApprovalRule = PRODUCTION, option: str = "Approve"
) -> QuorumResult:
    votes = [Vote(role, user, option, MIDNIGHT + seconds(n)) for n, (role, user) in enumerate(answers)]
    return quorum(rule, votes, requester="developer", authors={"author"})


def test_two_seniors_and_one_devops_are_enough() -> None:
    result = count((SENIOR, "senior1"), (SENIOR, "senior2"), (DEVOPS, "devops"))
    assert result.met
    assert [vote.user for vote in result.counted] == ["senior1", "senior2", "devops"]


@pytest.mark.parametrize(
    ("answers", "missing"),
    [
        pytest.param([], ("2 more of senior_developer", "1 more of devops"), id="nobody"),
        pytest.param([(SENIOR, "senior1"), (SENIOR, "senior2")], ("1 more of devops",), id="no-devops"),
        pytest.param(
            [(SENIOR, "senior1"), (DEVOPS, "devops")], ("1 more of senior_developer",), id="one-senior"
        ),
    ],
)
def test_what_is_missing_is_said(answers: list[tuple[str, str]], missing: tuple[str, ...]) -> None:
    result = count(*answers)
    assert not result.met
    assert result.missing == missing


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        pytest.param([(SENIOR, "senior1"), (SENIOR, "senior1")], "senior1 answered twice", id="two-seats"),
        pytest.param([(SENIOR, "senior1"), (DEVOPS, "senior1")], "senior1 answered twice", id="dual-role"),
        pytest.param([(DEVOPS, "qa")], "qa does not hold the role devops", id="not-entitled"),
    ],
)
def test_a_vote_that_does_not_count_says_why(answers: list[tuple[str, str]], reason: str) -> None:
    result = count(*answers)
    assert not result.met
    assert any(reason in text for text in result.refused)


@pytest.mark.parametrize(
    ("user", "reason"),
    [("developer", "asked for the release"), ("author", "wrote part of the release")],
)
def test_nobody_approves_their_own_work_unless_the_rule_allows_it(user: str, reason: str) -> None:
    rule = ApprovalRule({"qa": 1}, {"qa": frozenset({user})})
    refused = count(("qa", user), rule=rule)
    assert not refused.met
    assert reason in refused.refused[0]
    assert count(("qa", user), rule=replace(rule, self_review=True)).met


def test_one_rejection_of_somebody_entitled_decides() -> None:
    votes = [
        Vote(SENIOR, "senior1", "Approve", MIDNIGHT),
        Vote(SENIOR, "senior2", "Approve", MIDNIGHT),
        Vote(DEVOPS, "devops", "Approve", MIDNIGHT),
        Vote(SENIOR, "senior3", "Reject", MIDNIGHT + seconds(1)),
    ]
    result = quorum(PRODUCTION, votes, requester="developer")
    assert not result.met
    assert result.refused == ("rejected by senior3 as senior_developer",)


def test_where_nobody_is_required_nobody_is_asked() -> None:
    assert quorum(ApprovalRule(), (), requester="airflow").met
