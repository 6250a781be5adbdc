"""Who approved, by role: a pure count of votes. The ledger binds them to one digest in one environment, and
to the outcomes of the gates that the voters were shown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from .evidence import NOTHING, Evidence

APPROVE = "Approve"
"""The option of an approval that lets the release pass; every other one is a rejection."""


@dataclass(frozen=True)
class Vote:
    """One answer of one person in one role's seat."""

    role: str
    user: str
    option: str
    at: datetime
    evidence: Evidence = NOTHING
    """What the person was shown."""


@dataclass(frozen=True)
class ApprovalRule:
    required: Mapping[str, int] = field(default_factory=dict)
    """Role → how many distinct people. Empty: no approval is needed."""
    entitled: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Role → users who hold it."""
    self_review: bool = False
    expires: timedelta | None = None
    """How long a vote may wait for the release to start; None: for ever."""


@dataclass(frozen=True)
class QuorumResult:
    met: bool
    missing: tuple[str, ...]
    """What is still needed, in words: `1 more of senior_developer`."""
    refused: tuple[str, ...]
    """Rejections, and votes that do not count, each with the reason."""
    counted: tuple[Vote, ...]
    void: tuple[str, ...] = ()
    """Of `refused`: votes that once would have counted."""


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
    evidence: Evidence = NOTHING
    """The outcomes of the gates when the votes were counted."""
    expires: timedelta | None = None
    """As the rule said then: a later edit of the catalog changes nothing."""


@dataclass(frozen=True)
class Void:
    """Votes that did not let their release start."""

    digest: str
    why: str
    at: datetime


def quorum(
    rule: ApprovalRule,
    votes: Iterable[Vote],
    requester: str,
    authors: Iterable[str] = (),
    *,
    evidence: Evidence = NOTHING,
    now: datetime | None = None,
) -> QuorumResult:
    """Count distinct people per role. `requester` and `authors` are user names; their votes are refused
    unless the rule allows self-review. One person is one vote, also with two roles. A rejection by anybody
    entitled decides. A vote on other outcomes than `evidence`, the present ones, is void; so is one that is
    older at `now` than the rule lets it be."""
    own = own_work(rule, requester, authors)
    refused: list[str] = []
    void: list[str] = []
    counted: dict[str, Vote] = {}
    rejected = False
    for vote in sorted(votes, key=lambda v: v.at):
        if vote.user not in rule.entitled.get(vote.role, frozenset()):
            refused.append(f"{vote.user} does not hold the role {vote.role}")
        elif vote.option != APPROVE:
            rejected = True
            refused.append(f"rejected by {vote.user} as {vote.role}")
        elif vote.user in own:
            refused.append(f"{vote.user} {own[vote.user]} and may not approve it")
        elif vote.user in counted:
            refused.append(f"{vote.user} answered twice; one person is one vote")
        elif changed := vote.evidence.changes(evidence):
            void.append(f"the vote of {vote.user} is void: {', '.join(changed)}: ask again")
        elif now is not None and rule.expires is not None and now >= vote.at + rule.expires:
            void.append(f"the vote of {vote.user} expired at {_clock(vote.at + rule.expires)}: ask again")
        else:
            counted[vote.user] = vote
    have = [vote.role for vote in counted.values()]
    missing = tuple(
        f"{n - have.count(role)} more of {role}" for role, n in rule.required.items() if have.count(role) < n
    )
    met = not missing and not rejected
    return QuorumResult(met, missing, (*refused, *void), tuple(counted.values()), tuple(void))


def own_work(rule: ApprovalRule, requester: str, authors: Iterable[str] = ()) -> dict[str, str]:
    """Users whose votes do not count whatever their roles are, and why, in words after the name."""
    if rule.self_review:
        return {}
    return {**dict.fromkeys(authors, "wrote part of the release"), requester: "asked for the release"}


def void_reasons(
    grant: Grant,
    votes: Sequence[Vote],
    entitled: Mapping[str, Collection[str]],
    evidence: Evidence,
    now: datetime,
) -> tuple[str, ...]:
    """Why a grant does not let its release start any more, a sentence each; empty: it does.

    `votes` are those that the ledger holds of the grant's promotion, `entitled` who has each role now and
    `evidence` the outcomes of the gates now. Only the start asks: a release that has traffic goes on under
    its grant, and going back never asks.
    """
    voters = ", ".join(grant.voters) or "nobody"
    if changed := grant.evidence.changes(evidence):
        return (f"votes of {voters} are void: {', '.join(changed)}: ask again",)
    rule = ApprovalRule(
        required=grant.required,
        entitled={role: frozenset(entitled.get(role, ())) for role in grant.required},
        self_review=True,
        expires=grant.expires,
    )
    given = [replace(vote, evidence=evidence) for vote in votes if _counted(vote, grant)]
    recount = quorum(rule, given, requester="", evidence=evidence, now=now)
    return () if recount.met else (*recount.refused, *recount.missing)


def _counted(vote: Vote, grant: Grant) -> bool:
    """Authors and requester were sorted out when the grant was given; that cannot change."""
    return vote.user in grant.voters and vote.option == APPROVE


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
