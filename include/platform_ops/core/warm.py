"""The rules of the warm window: the old colour stays until it is over and the new one has proven itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from .release import Weights
from .state import Act, Observed, Phase, Rollout, Transition

RECHECK_EVERY = timedelta(minutes=1)
"""Pause between two checks of a new colour that does not pass them once its warm window is over."""


def decide_warm(observed: Observed, now: datetime) -> Transition:
    """Breaches, holds and wishes were looked at before."""
    rollout = observed.rollout
    if observed.route.weights != Weights.towards(rollout.colour, 100):
        return _moved_by_hand(observed, now)
    end = rollout.phase_began + rollout.plan.warm
    if now < end:
        return _wait(observed, f"{rollout.old} stays warm until {end:%Y-%m-%d %H:%M:%S} UTC", end)
    if observed.new.ready < rollout.plan.replicas:
        return _wait(observed, "the new colour is not proven: " + readiness(observed), now)
    if not observed.old.exists:
        why = f"nothing of {rollout.old} is left"
        return Transition(Act.ENTER, why, Phase.RECLAIMED, rollout.step)
    unproven = _unproven(observed, now)
    if unproven is not None:
        return unproven
    return Transition(Act.RECLAIM, f"the warm window is over: remove {rollout.old}", Phase.WARM, rollout.step)


def _unproven(observed: Observed, now: datetime) -> Transition | None:
    """The old colour goes only when the new one has shown once more, on the users' way, that it is well."""
    rollout = observed.rollout
    report = rollout.checked
    if report is not None and report.passed:
        return None
    if report is not None and now < report.at + RECHECK_EVERY:
        failures = "; ".join(report.failures) or "there is no check in the catalog, and no check is no pass"
        words = f"the new colour is not proven: {failures}"
        if now >= rollout.phase_began + rollout.plan.warm + rollout.plan.extension:
            # It could wait like this for ever, and nobody would hear of it.
            return Transition(Act.HOLD, words, Phase.WARM, rollout.step)
        return _wait(observed, words, report.at + RECHECK_EVERY)
    why = f"check {rollout.colour} before {rollout.old} goes"
    return Transition(Act.VERIFY, why, Phase.WARM, rollout.step)


def _moved_by_hand(observed: Observed, now: datetime) -> Transition:
    """To the old colour is the way back; away is put back; about anything else people decide."""
    rollout, route = observed.rollout, observed.route
    if route.trouble:
        return _wait(observed, route.trouble, now)
    if route.weights.routed and not all_on_old(observed):
        why = f"somebody moved the route: {in_words(route.weights)}"
        return Transition(Act.HOLD, why, rollout.phase, rollout.step)
    return given_back(observed) or _wait(observed, "the route is gone: " + readiness(observed), now)


def all_on_old(observed: Observed) -> bool:
    return observed.route.weights == Weights.towards(observed.rollout.old, 100)


def given_back(observed: Observed) -> Transition | None:
    """A person gave all traffic to the old colour by hand, or took the route away. Traffic that can stay
    there is the wish to go back; where nothing approved is ready, it returns. None: neither can be."""
    rollout, old = observed.rollout, observed.old
    if all_on_old(observed) and old.ready > 0 and old.digest == rollout.previous_digest:
        why = f"somebody gave all traffic back to {rollout.old} by hand"
        return Transition(Act.BEGIN_ROLLBACK, why, Phase.ROLLING_BACK, rollout.step)
    if observed.new.ready < rollout.plan.replicas:
        return None
    share = 100 if rollout.phase.reached(Phase.BAKING) else rollout.steps[rollout.step].weight
    wanted = Weights.towards(rollout.colour, share)
    why = f"somebody took the traffic away by hand: back to {in_words(wanted)}"
    return Transition(Act.SHIFT, why, rollout.phase, rollout.step, wanted)


def reclaim_refusal(rollout: Rollout | None, where: str, now: datetime) -> str:
    """Why the old colour may not go yet, and what to do; empty: it may, once the new one proves itself."""
    if rollout is None:
        return f"{where}: nothing is left to reclaim; no rollout or warm window is open there"
    name = rollout.release.name
    if not rollout.phase.reached(Phase.PROMOTED):
        return f"{where}: {name} is in {rollout.phase}; its old colour is what it goes back to"
    if rollout.hold is not None:
        return f"{where}: {name} is held by {rollout.hold.by} ({rollout.hold.why}): decide about that first"
    if rollout.wish is not None:
        return f"{where}: {rollout.wish.by} asked to go back to {rollout.old}"
    end = rollout.phase_began + rollout.plan.warm
    if now < end:
        return (
            f"{where}: {rollout.old} stays warm until {end:%Y-%m-%d %H:%M:%S} UTC, so that going back takes "
            "seconds; the controller removes it by itself after that"
        )
    return ""


def readiness(observed: Observed) -> str:
    new, rollout = observed.new, observed.rollout
    if not new.exists:
        return f"the Deployment {rollout.target.deployment(rollout.colour)} is gone"
    text = f"{new.ready} of {rollout.plan.replicas} pods of {rollout.colour} are ready"
    return f"{text}; {'; '.join(new.failing)}" if new.failing else text


def in_words(weights: Weights) -> str:
    return f"blue {weights.blue} %, green {weights.green} %"


def _wait(observed: Observed, why: str, until: datetime) -> Transition:
    return Transition(Act.WAIT, why, Phase.WARM, observed.rollout.step, until=until)
