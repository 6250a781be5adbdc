"""Quorum by role: who counts, who does not, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import MIDNIGHT, seconds

from platform_ops.core.approvals import ApprovalRule, Grant, QuorumResult, Vote, quorum, void_reasons
from platform_ops.core.evidence import Evidence, Outcome

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


SHOWN = Evidence((Outcome("source", "c" * 40, "passed"),))
FAILED = Evidence((Outcome("source", "c" * 40, "failed"),))
A_DAY = replace(PRODUCTION, expires=timedelta(days=1))
QUORUM = ((SENIOR, "senior1"), (SENIOR, "senior2"), (DEVOPS, "devops"))


def given(*answers: tuple[str, str], evidence: Evidence = SHOWN) -> list[Vote]:
    return [
        Vote(role, user, "Approve", MIDNIGHT + seconds(n), evidence) for n, (role, user) in enumerate(answers)
    ]


@pytest.mark.parametrize(
    ("evidence", "later", "void"),
    [
        pytest.param(SHOWN, timedelta(hours=23), (), id="young-and-unchanged"),
        pytest.param(
            FAILED,
            timedelta(hours=1),
            tuple(
                f"the vote of {user} is void: gate source was passed, is failed now: ask again"
                for _, user in QUORUM
            ),
            id="a-gate-failed-since",
        ),
        pytest.param(
            SHOWN,
            timedelta(days=1),
            ("the vote of senior1 expired at 2026-01-02 00:00:00 UTC: ask again",),
            id="the-first-vote-is-a-day-old",
        ),
    ],
)
def test_only_votes_that_stand_are_counted(
    evidence: Evidence, later: timedelta, void: tuple[str, ...]
) -> None:
    result = quorum(A_DAY, given(*QUORUM), "developer", evidence=evidence, now=MIDNIGHT + later)
    assert result.void == void
    assert result.met == (not void)


def test_who_votes_again_on_what_there_is_now_is_counted() -> None:
    again = Vote(SENIOR, "senior1", "Approve", MIDNIGHT + seconds(9), FAILED)
    rest = given((SENIOR, "senior2"), (DEVOPS, "devops"), evidence=FAILED)
    result = quorum(A_DAY, [*given((SENIOR, "senior1")), *rest, again], "developer", evidence=FAILED)
    assert result.met


GRANT = Grant(
    "llm-service", "production", "sha256:1", "1", PRODUCTION.required, ("senior1", "senior2", "devops"),
    MIDNIGHT + seconds(3), SHOWN, timedelta(days=1),
)  # fmt: skip


@pytest.mark.parametrize(
    ("gone", "evidence", "later", "reasons"),
    [
        pytest.param("", SHOWN, timedelta(hours=23), (), id="it-stands"),
        pytest.param(
            "",
            FAILED,
            timedelta(hours=1),
            ("votes of senior1, senior2, devops are void: gate source was passed, is failed now: ask again",),
            id="a-gate-failed-since",
        ),
        pytest.param(
            "",
            SHOWN,
            timedelta(days=1, seconds=1),
            (
                "the vote of senior1 expired at 2026-01-02 00:00:00 UTC: ask again",
                "the vote of senior2 expired at 2026-01-02 00:00:01 UTC: ask again",
                "2 more of senior_developer",
            ),
            id="expired",
        ),
        pytest.param(
            "devops",
            SHOWN,
            timedelta(hours=1),
            ("devops does not hold the role devops", "1 more of devops"),
            id="an-approver-lost-the-role",
        ),
    ],
)
def test_a_grant_lets_start_only_what_its_votes_still_let_start(
    gone: str, evidence: Evidence, later: timedelta, reasons: tuple[str, ...]
) -> None:
    pools = {role: users - {gone} for role, users in PRODUCTION.entitled.items()}
    assert void_reasons(GRANT, given(*QUORUM), pools, evidence, MIDNIGHT + later) == reasons


def test_one_vote_more_than_needed_replaces_one_that_is_void() -> None:
    votes = given(*QUORUM, (SENIOR, "senior3"))
    grant = replace(GRANT, voters=(*GRANT.voters, "senior3"))
    pools = {role: users - {"senior2"} for role, users in PRODUCTION.entitled.items()}
    assert void_reasons(grant, votes, pools, SHOWN, MIDNIGHT + seconds(9)) == ()


def test_a_vote_that_was_refused_then_replaces_nobody_now() -> None:
    """An author's vote was not counted; nobody notices authors when the release starts."""
    votes = given(*QUORUM, (SENIOR, "senior3"))
    pools = {role: users - {"senior2"} for role, users in PRODUCTION.entitled.items()}
    assert "1 more of senior_developer" in void_reasons(GRANT, votes, pools, SHOWN, MIDNIGHT + seconds(9))


def test_where_nobody_had_to_vote_a_changed_gate_still_voids() -> None:
    grant = replace(GRANT, required={}, voters=())
    assert void_reasons(grant, (), {}, SHOWN, MIDNIGHT + timedelta(days=9)) == ()
    assert void_reasons(grant, (), {}, FAILED, MIDNIGHT)
