"""What may be done to a branch that platform-ops moves. What somebody else did to it is not corrected."""

from __future__ import annotations

from .errors import Refused
from .source import BranchState

_NAMED = 3


def may_advance(state: BranchState, commit: str, *, promoted: bool) -> bool:
    """Whether the branch is to be fast-forwarded to `commit`; False: there is nothing to do.

    `promoted`: its head was itself promoted in the environment before, so a later release has been there.
    Refused when the branch holds what the commit does not have.
    """
    if state.head is None:
        return True
    if state.head == commit or (state.holds and promoted):
        return False
    if state.leads_here:
        return True
    raise Refused(
        f"{state.branch} stands at {state.head[:8]}, which {commit[:8]} does not come from: somebody pushed"
        f" to {state.branch}. It is left alone, and traffic stays where it is. Bring what is in"
        f" {state.branch} into the branch that is built and promote that, or set {state.branch} back by"
        " hand; then clear this task."
    )


def merge_parents(state: BranchState, commit: str) -> tuple[str, ...] | None:
    """The parents of the release commit that is to be made; None: the branch has this release already.

    Its tree is that of `commit`. So it is Refused whenever that would take something out of the branch that
    nobody decided to take out.
    """
    if state.head is None:
        return (commit,)
    if state.last is not None:
        if state.last.released == commit or state.last_holds:
            return None
        if not state.follows_last:
            raise Refused(
                f"{state.branch} has released {state.last.released[:8]}, which {commit[:8]} does not come"
                f" from: what is live would lose it. {_merge_first(state)}"
            )
    if state.strangers:
        named = ", ".join(one.in_words() for one in state.strangers[:_NAMED])
        more = f" and {len(state.strangers) - _NAMED} more" if len(state.strangers) > _NAMED else ""
        raise Refused(
            f"{state.branch} has diverged: it holds {named}{more}, which {commit[:8]} does not have. "
            f"{_merge_first(state)}"
        )
    return (commit,) if state.head == commit else (state.head, commit)


def _merge_first(state: BranchState) -> str:
    return (
        f"{state.branch} is left alone, and traffic stays where it is. Merge {state.branch} into the branch"
        f" that is built and promote that; or, if its history was rewritten on purpose, set {state.branch}"
        " by hand and clear this task."
    )
