"""The rules of going back. They never ask whether the new colour is well.

Order: the old colour is ready and large enough → weights → real responses → the old version's checks → the
new colour goes. Only then it is RolledBack. A preview that never had traffic is only removed.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from .release import Weights
from .state import Act, Observed, Phase, Transition

FULL_SIZE_PATIENCE = timedelta(seconds=20)
"""How long a rollback waits for the last pods of the old colour before half of them are enough."""

RECHECK_LIMIT = timedelta(seconds=60)
"""How long the old version may take to pass its checks once it has the traffic again."""


def decide_rolling_back(observed: Observed, now: datetime) -> Transition:
    rollout = observed.rollout
    if not rollout.moved or rollout.first_release:
        return (
            _nothing_serves(observed)
            or _remove_new(observed)
            or _rolled_back(observed, _nothing_to_prove(observed))
        )
    return (
        _old_colour_first(observed, now)
        or _move_traffic(observed)
        or _see_it(observed, now)
        or _check_old(observed, now)
        or _remove_new(observed)
        or _rolled_back(observed, f"{rollout.old} has all traffic and passed its checks")
    )


def _old_colour_first(observed: Observed, now: datetime) -> Transition | None:
    """Never route into nothing. Once the traffic is back this asks no more: the checks do."""
    rollout, old = observed.rollout, observed.old
    if observed.route.weights == Weights.towards(rollout.old, 100):
        return None
    if not old.exists:
        return _need_attention(observed, _old_is_gone(observed))
    if old.desired < rollout.plan.replicas:
        why = f"{rollout.old} has {old.desired} of {rollout.plan.replicas} replicas"
        return Transition(Act.SCALE_UP_OLD, why, Phase.ROLLING_BACK, rollout.step)
    if old.ready >= _enough(observed, now):
        return None
    words = f"{old.ready} of {rollout.plan.replicas} pods of {rollout.old} are ready"
    deadline = rollout.phase_began + rollout.plan.deploy_deadline
    if now >= deadline:
        return _need_attention(observed, f"both colours are bad: {'; '.join((words, *old.failing))}")
    return _wait(observed, words, deadline)


def _enough(observed: Observed, now: datetime) -> int:
    rollout = observed.rollout
    patient = now < rollout.phase_began + FULL_SIZE_PATIENCE
    return rollout.plan.replicas if patient else math.ceil(rollout.plan.replicas / 2)


def _move_traffic(observed: Observed) -> Transition | None:
    rollout = observed.rollout
    if observed.route.trouble:
        return _need_attention(observed, observed.route.trouble)
    wanted = Weights.towards(rollout.old, 100)
    if observed.route.weights == wanted:
        return None
    return Transition(
        Act.SHIFT, f"all traffic back to {rollout.old}", Phase.ROLLING_BACK, rollout.step, wanted
    )


def _see_it(observed: Observed, now: datetime) -> Transition | None:
    rollout = observed.rollout
    if rollout.since is not None:
        return None
    began = max(rollout.shifted_at or rollout.phase_began, rollout.phase_began)
    if now >= began + rollout.plan.confirm_limit:
        return _need_attention(observed, f"the route says {rollout.old}, real responses do not")
    why = f"see {rollout.old} in real responses"
    wanted = Weights.towards(rollout.old, 100)
    return Transition(Act.CONFIRM, why, Phase.ROLLING_BACK, rollout.step, wanted)


def _check_old(observed: Observed, now: datetime) -> Transition | None:
    rollout = observed.rollout
    report = rollout.checked
    if report is not None and report.passed:
        return None
    if report is not None and rollout.since is not None and now >= rollout.since + RECHECK_LIMIT:
        failures = "; ".join(report.failures) or "there are no checks"
        return _need_attention(observed, f"{rollout.old} has the traffic but fails its checks: {failures}")
    return Transition(Act.VERIFY_OLD, f"check {rollout.old}", Phase.ROLLING_BACK, rollout.step)


def _remove_new(observed: Observed) -> Transition | None:
    """The colour that failed goes, unless it is not ours: somebody else's digest stays."""
    rollout, new = observed.rollout, observed.new
    if not new.exists or new.digest not in (None, rollout.release.digest):
        return None
    return Transition(Act.REMOVE_NEW, f"remove {rollout.colour}", Phase.ROLLING_BACK, rollout.step)


def _nothing_serves(observed: Observed) -> Transition | None:
    """Traffic never moved, and what it is on was taken away: nobody may read that all is as before. The
    preview may be the only thing that is left."""
    if observed.rollout.first_release or observed.old.exists:
        return None
    return _need_attention(observed, _old_is_gone(observed))


def _old_is_gone(observed: Observed) -> str:
    rollout = observed.rollout
    name, place = rollout.target.deployment(rollout.old), rollout.target.namespace
    why = f" ({rollout.reason})" if rollout.reason else ""
    return f"{name} in {place} is gone: deploy it again, there is nothing else to go back to{why}"


def _nothing_to_prove(observed: Observed) -> str:
    if observed.rollout.first_release:
        return "the first release is removed; there was no old colour"
    return f"the preview is removed; {observed.rollout.old} had all traffic throughout"


def _rolled_back(observed: Observed, why: str) -> Transition:
    return Transition(Act.ENTER, why, Phase.ROLLED_BACK, observed.rollout.step)


def _need_attention(observed: Observed, why: str) -> Transition:
    return Transition(Act.NEED_ATTENTION, why, Phase.NEEDS_ATTENTION, observed.rollout.step)


def _wait(observed: Observed, why: str, until: datetime) -> Transition:
    return Transition(Act.WAIT, why, Phase.ROLLING_BACK, observed.rollout.step, until=until)
