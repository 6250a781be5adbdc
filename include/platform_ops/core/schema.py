"""What happens to a service's schema before its preview comes up.

A migration expands only: the old colour has the traffic while the schema changes, and must go on working. So
its checks run before and after. What fails then and did not fail before is the migration's doing: the rollout
goes back before there is any preview. Nothing is ever migrated down; the next migration corrects.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from .migration import JobState
from .state import Act, CheckReport, Observed, Phase, Rollout, Transition

END_LIMIT = timedelta(minutes=1)
"""How much later than its deadline the cluster may tell that the Job ended."""


def decide_schema(observed: Observed, now: datetime) -> Transition | None:
    """The migration's next step; None when there is none to run, or when it ran and harmed nobody."""
    if observed.rollout.plan.migration is None:
        return None
    return _baseline(observed) or _run(observed, now) or _prove_old(observed)


def schema_words(rollout: Rollout) -> str:
    """What a rollback has to say about the schema; empty when no migration can have run."""
    migration = rollout.plan.migration
    begun = rollout.baseline is not None or (rollout.first_release and rollout.phase is not Phase.PENDING)
    if migration is None or not begun:
        return ""
    return f"Nothing is migrated down: what the schema migration {migration.job} changed stays."


def _baseline(observed: Observed) -> Transition | None:
    rollout = observed.rollout
    if rollout.first_release or rollout.baseline is not None:
        return None
    return _act(observed, Act.BASELINE, f"how {rollout.old} does before its schema changes")


def _run(observed: Observed, now: datetime) -> Transition | None:
    rollout, seen, migration = observed.rollout, observed.migration, observed.rollout.plan.migration
    assert migration is not None
    another = seen.rollout_id != rollout.id
    if seen.state is JobState.ABSENT or (seen.state is JobState.FAILED and another):
        return _act(observed, Act.MIGRATE, f"run the schema migration {migration.job}")
    if seen.state is JobState.FAILED:
        return _back(observed, f"the schema migration {migration.job} failed: {seen.words}")
    if seen.state is JobState.SUCCEEDED:
        return None
    limit = rollout.phase_began + migration.deadline + END_LIMIT
    words = f"the schema migration {migration.job} runs" + (f": {seen.words}" if seen.words else "")
    if now >= limit:
        seconds = migration.deadline.total_seconds()
        return _back(observed, f"{words}, longer than its {seconds:g} s")
    return Transition(Act.WAIT, words, rollout.phase, rollout.step, until=limit)


def _prove_old(observed: Observed) -> Transition | None:
    rollout, migration = observed.rollout, observed.rollout.plan.migration
    assert migration is not None
    if rollout.first_release:
        return None
    if rollout.checked is None:
        return _act(observed, Act.VERIFY_OLD, f"{rollout.old} must go on working with the new schema")
    broken = broken_by(rollout.baseline, rollout.checked)
    if not broken:
        return None
    what = f"{rollout.old} fails its checks since the schema migration {migration.job}: {'; '.join(broken)}"
    return _back(observed, f"{what}; correct it with a further migration, nothing is migrated down")


def broken_by(before: CheckReport | None, after: CheckReport) -> tuple[str, ...]:
    """The failures of checks that passed before."""
    if after.ran == 0:
        return ("there is no check in the catalog, and no check is no pass",)
    failed_before = _requests(before.failures) if before else frozenset()
    return tuple(failure for failure in after.failures if _request(failure) not in failed_before)


def _requests(failures: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_request, failures))


def _request(failure: str) -> str:
    """`GET /health` of `GET /health: 500 instead of 200`: the reason may differ from time to time."""
    return failure.partition(": ")[0]


def _act(observed: Observed, act: Act, why: str) -> Transition:
    return Transition(act, why, Phase.DEPLOYING, observed.rollout.step)


def _back(observed: Observed, why: str) -> Transition:
    return Transition(Act.BEGIN_ROLLBACK, why, Phase.ROLLING_BACK, observed.rollout.step)
