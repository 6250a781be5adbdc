"""Who approved, by role: a pure count of votes. The ledger binds them to one digest in one environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

APPROVE = "Approve"
"""The option of an approval that lets the release pass; every other one is a rejection."""


@dataclass(frozen=True)
class Vote:
    """One answer of one person in one role's seat."""

    role: str
    user: str
    option: str
    at: datetime


@dataclass(frozen=True)
class ApprovalRule:
    required: Mapping[str, int] = field(default_factory=dict)
    """Role → how many distinct people. Empty: no approval is needed."""
    entitled: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Role → users who hold it."""
    self_review: bool = False


@dataclass(frozen=True)
class QuorumResult:
    met: bool
    missing: tuple[str, ...]
    """What is still needed, in words: `1 more of senior_developer`."""
    refused: tuple[str, ...]
    """Rejections, and votes that do not count, each with the reason."""
    counted: tuple[Vote, ...]


@dataclass(frozen=True)
class Grant:
    """The complete approvals of one digest in one environment: what the router's guard looks for."""

    service: str
    environment: str
    digest: str
    promotion_id: str
    required: Mapping[str, int]
    voters: tuple[str, ...]
    at: datetime


def quorum(
    rule: ApprovalRule, votes: Iterable[Vote], requester: str, authors: Iterable[str] = ()
) -> QuorumResult:
    """Count distinct people per role. `requester` and `authors` are user names; their votes are refused
    unless the rule allows self-review. One person is one vote, also with two roles. A rejection by anybody
    entitled decides."""
    own_work: dict[str, str] = {}
    if not rule.self_review:
        own_work = dict.fromkeys(authors, "wrote part of the release")
        own_work[requester] = "asked for the release"
    refused: list[str] = []
    counted: dict[str, Vote] = {}
    rejected = False
    for vote in sorted(votes, key=lambda v: v.at):
        if vote.user not in rule.entitled.get(vote.role, frozenset()):
            refused.append(f"{vote.user} does not hold the role {vote.role}")
        elif vote.option != APPROVE:
            rejected = True
            refused.append(f"rejected by {vote.user} as {vote.role}")
        elif vote.user in own_work:
            refused.append(f"{vote.user} {own_work[vote.user]} and may not approve it")
        elif vote.user in counted:
            refused.append(f"{vote.user} answered twice; one person is one vote")
        else:
            counted[vote.user] = vote
    have = [vote.role for vote in counted.values()]
    missing = tuple(
        f"{n - have.count(role)} more of {role}" for role, n in rule.required.items() if have.count(role) < n
    )
    return QuorumResult(not missing and not rejected, missing, tuple(refused), tuple(counted.values()))
