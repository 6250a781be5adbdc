"""What a promotion does in git once its release serves: staging moves on, or main gets a merge and a version.

Each step looks at the repository, not at its memory: whatever was pushed before a crash is found and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from platform_ops import wiring
from platform_ops.catalog import way
from platform_ops.core.branching import may_advance, merge_parents
from platform_ops.core.changelog import Changelog, changelog, merge_message, tag_message
from platform_ops.core.errors import GateClosed
from platform_ops.core.records import Entry, Promotion
from platform_ops.core.rollout import Phase
from platform_ops.core.source import BranchState, NewTag, VersionTag
from platform_ops.core.versions import Version, next_version

from .step import Run

ACTOR = "platform-ops"
PATIENT: dict[str, Any] = {
    "retries": 6,
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=2),
}
"""The release serves already: a repository that is away for some minutes is waited for."""


async def advance_branch(desk: wiring.Desk, run: Run) -> None:
    """Fast-forward the next environment's branch to the commit that serves here. A branch that holds anything
    else is left alone, and so is the traffic."""
    promotion = await promoted(desk, run)
    branch = desk.catalog.environment(run.service, way.environment_after(run.environment)).branch
    state = await desk.branches.state(run.service, branch, promotion.commit)
    known = state.head is not None and await desk.ledger.promotions.seen(
        run.service, run.environment, state.head
    )
    if may_advance(state, promotion.commit, promoted=known):
        await _note(desk, promotion, "intent", "AdvanceBranch", f"{branch} to {promotion.commit}")
        await desk.branches.fast_forward(run.service, branch, promotion.commit, expected=state.head)
        await _note(desk, promotion, "done", "AdvanceBranch", f"{branch} to {promotion.commit}")
    await desk.ledger.source.write_move(promotion.id, branch, promotion.commit)


async def merge(desk: wiring.Desk, run: Run) -> None:
    """Merge the commit that serves into the environment's branch and give it its version, both signed by the
    service identity and pushed together. A branch that has diverged is left alone, and so is the traffic."""
    promotion = await promoted(desk, run)
    branch = desk.catalog.environment(run.service, run.environment).branch
    state = await desk.branches.state(run.service, branch, promotion.commit)
    versions = await desk.branches.versions(run.service, branch)
    if merge_parents(state, promotion.commit) is not None:
        merged, tag = await _merge_now(desk, promotion, state, versions)
    elif state.last is not None and state.last.released == promotion.commit:
        # A run before this one was killed after its push.
        merged, tag = state.last.id, _tag_at(state.last.id, versions)
    else:
        return  # an older release: the branch has held it since it was live for the first time
    await desk.ledger.source.write_move(promotion.id, branch, merged, tag)


async def require_mergeable(desk: wiring.Desk, run: Run, commit: str) -> None:
    """The same refusal before anything was done: what is live now would lose a commit."""
    branch = desk.catalog.environment(run.service, run.environment).branch
    merge_parents(await desk.branches.state(run.service, branch, commit), commit)


async def promoted(desk: wiring.Desk, run: Run) -> Promotion:
    """The run's promotion, if its rollout got there. The ledger says it: the tasks before may have been
    marked as successful by hand."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    view = await desk.controller.find_of_run(run.dag_id, run.run_id)
    if view is None or not view.reached(Phase.PROMOTED):
        stands = f"it stands in {view.phase}" if view else "there is none"
        raise GateClosed(f"The rollout of this run did not get to {Phase.PROMOTED}: {stands}.")
    return promotion


async def _merge_now(
    desk: wiring.Desk, promotion: Promotion, state: BranchState, versions: Sequence[VersionTag]
) -> tuple[str, str]:
    """The merge's id and the version's tag."""
    release, branch = promotion.release, state.branch
    last = versions[0] if versions else None
    commits = await desk.source.history(promotion.service, promotion.commit, last.commit if last else None)
    version = next_version(
        last.version if last else None, [one.message for one in commits], promotion.version
    )
    log = changelog(commits, last.commit if last else None, promotion.commit)
    tag = _tag(promotion, version, log) if version else None
    what = f"{release.name} into {branch}" + (f" as {tag.name}" if tag else ", without a version of its own")
    await _note(desk, promotion, "intent", "Merge", what)
    merged = await desk.branches.merge(
        promotion.service,
        branch,
        promotion.commit,
        merge_message(release, promotion.environment),
        expected=state.head,
        tag=tag,
    )
    await _note(desk, promotion, "done", "Merge", f"{what}: {merged}")
    return merged, tag.name if tag else ""


def _tag(promotion: Promotion, version: Version, log: Changelog) -> NewTag:
    title = f"{promotion.service} {version}"
    return NewTag(version.tag, tag_message(promotion.release, title, log))


def _tag_at(commit: str, versions: Sequence[VersionTag]) -> str:
    return next((one.version.tag for one in versions if one.commit == commit), "")


async def _note(desk: wiring.Desk, promotion: Promotion, kind: str, what: str, why: str) -> None:
    await desk.ledger.journal.write(
        Entry(
            service=promotion.service,
            environment=promotion.environment,
            at=desk.clock.now(),
            actor=ACTOR,
            kind=kind,
            what=what,
            why=why,
            promotion_id=promotion.id,
        )
    )
