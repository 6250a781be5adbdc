"""What may be done to a branch, and which lines make a signer."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ops.core.branching import may_advance, merge_parents
from platform_ops.core.errors import Refused
from platform_ops.core.signatures import key_of, parse_signer
from platform_ops.core.source import BranchState, Commit, ReleaseCommit

HEAD, COMMIT, LAST, OLD = "a" * 40, "c" * 40, "e" * 40, "0" * 40
STRANGER = Commit(
    "5" * 40, (), "X", "x@example.com", "x@example.com", datetime(2026, 1, 1, tzinfo=UTC), "fix: y"
)
BRANCH = BranchState("main", HEAD)
KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
states = st.builds(
    BranchState,
    branch=st.just("main"),
    head=st.sampled_from([None, HEAD, COMMIT]),
    leads_here=st.booleans(),
    holds=st.booleans(),
    last=st.sampled_from([None, ReleaseCommit(LAST, OLD), ReleaseCommit(LAST, COMMIT)]),
    last_holds=st.booleans(),
    follows_last=st.booleans(),
    strangers=st.sampled_from([(), (STRANGER,), (STRANGER,) * 5]),
)


@pytest.mark.parametrize(
    ("state", "parents"),
    [
        (replace(BRANCH, head=None), (COMMIT,)),
        (replace(BRANCH, leads_here=True, follows_last=True), (HEAD, COMMIT)),
        (replace(BRANCH, head=COMMIT, leads_here=True, holds=True), (COMMIT,)),
        (replace(BRANCH, last=ReleaseCommit(HEAD, OLD), follows_last=True), (HEAD, COMMIT)),
        (replace(BRANCH, last=ReleaseCommit(HEAD, COMMIT), last_holds=True), None),
        (replace(BRANCH, last=ReleaseCommit(LAST, COMMIT), strangers=(STRANGER,)), None),
        (replace(BRANCH, last=ReleaseCommit(HEAD, OLD), last_holds=True), None),
    ],
    ids=["no branch", "ours", "at the commit", "after a release", "again", "again below a push", "older"],
)
def test_a_release_commit(state: BranchState, parents: tuple[str, ...] | None) -> None:
    assert merge_parents(state, COMMIT) == parents


@given(states)
def test_nothing_that_somebody_put_there_is_merged_away(state: BranchState) -> None:
    try:
        parents = merge_parents(state, COMMIT)
    except Refused:
        assert state.strangers or not state.follows_last
        return
    if parents is not None and state.head is not None:
        assert not state.strangers
        assert state.last is None or state.follows_last
        assert parents[-1] == COMMIT
        assert state.head in parents


@given(states, st.booleans())
def test_a_branch_moves_only_forward(state: BranchState, promoted: bool) -> None:
    try:
        moves = may_advance(state, COMMIT, promoted=promoted)
    except Refused:
        assert state.head not in (None, COMMIT)
        assert not state.leads_here
        return
    assert not moves or state.head is None or state.leads_here


@pytest.mark.parametrize(
    "line",
    [
        f"Dev@Example.com ssh-ed25519 {KEY} a comment",
        f'dev@example.com namespaces="git" ssh-ed25519 {KEY}',
        f'dev@example.com,b@example.com valid-after="20250101Z",valid-before="20270101Z" ssh-ed25519 {KEY}',
    ],
)
def test_a_signer_reads_as_it_is_written(line: str) -> None:
    signer = parse_signer(line)
    assert signer.addresses[0] == "dev@example.com"
    assert parse_signer(signer.line) == signer


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"* ssh-ed25519 {KEY}", "no e-mail address"),
        (f"*@example.com ssh-ed25519 {KEY}", "no e-mail address"),
        (f"!a@example.com ssh-ed25519 {KEY}", "no e-mail address"),
        ("a@example.com", "no public ssh key"),
        ("a@example.com ssh-dss AAAA", "no public ssh key"),
        (f"a@example.com cert-authority ssh-ed25519 {KEY}", "the option 'cert-authority' is not taken"),
        (f"a@example.com valid-before=soon ssh-ed25519 {KEY}", "the option 'valid-before=soon' is not taken"),
        ("a@example.com ssh-ed25519 AAAA", "is no ssh-ed25519 key"),
        ("a@example.com ssh-ed25519 not!base64", "is not whole"),
        (f"a@example.com ssh-rsa {KEY}", "is no ssh-rsa key"),
    ],
)
def test_a_line_that_would_trust_too_much_or_nobody_says_why(line: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_signer(line)


def test_the_private_half_is_no_key() -> None:
    with pytest.raises(ValueError, match="no public ssh key"):
        key_of(("a@example.com",), "-----BEGIN OPENSSH PRIVATE KEY-----")
