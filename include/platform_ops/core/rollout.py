"""`decide`: what to do next with a rollout, from what was observed. Whoever runs next decides the same.

Invariants (tests/unit/test_rollout_invariants.py asserts them after every transition):

* weights sum to 100, and are raised only on a colour that is ready in full size (the old one, going back:
  large enough);
* a preview that fails before the first shift never touches a weight;
* the old colour is not touched before the warm window is over, except to be scaled up;
* no verdict is no pass: a step ends only when every trigger that must judge has passed;
* going back never asks whether the new colour is well;
* who is pre-empted finishes the shift that is under way, and begins no other;
* nothing goes beyond the goal, and every path ends in a terminal phase or in NeedsAttention.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from .clocks import clock_behind
from .plan import OnInsufficientSamples, Step
from .release import Weights
from .rollback import decide_rolling_back
from .schema import decide_schema
from .state import Act, Observed, Phase, Transition
from .warm import all_on_old, decide_warm, given_back, in_words, readiness

__all__ = ["GENERATE_EVERY", "Phase", "Step", "after_refusal", "decide"]

GENERATE_EVERY = timedelta(seconds=1)
"""Pause between two portions of verification load."""


def decide(observed: Observed, now: datetime) -> Transition:
    """Exactly one transition. Rules in order of rank: end, people, danger, goal, phase."""
    rollout = observed.rollout
    if rollout.phase.terminal or rollout.phase is Phase.NEEDS_ATTENTION:
        return _stay(observed, "it ended" if rollout.phase.terminal else rollout.reason)
    if rollout.phase is Phase.ROLLING_BACK:
        return decide_rolling_back(observed, now)
    return (
        _asked_to_go_back(observed)
        or _held(observed, now)
        or _route_in_trouble(observed)
        or _danger(observed, now)
        or clock_behind(observed, now)
        or _parked(observed, now)
        or _FORWARD[rollout.phase](observed, now)
    )


def after_refusal(observed: Observed, refused: Transition, why: str) -> Transition:
    """What follows when the world refused an act for good: go back; if that was refused, people must look."""
    text = f"{refused.act} was refused: {why}"
    if observed.rollout.phase is Phase.ROLLING_BACK:
        return Transition(Act.NEED_ATTENTION, text, Phase.NEEDS_ATTENTION, observed.rollout.step)
    if refused.act is Act.RECLAIM:
        return _hold(observed, text)
    return _roll_back(observed, text)


def _asked_to_go_back(observed: Observed) -> Transition | None:
    wish = observed.rollout.wish
    if wish is None or (wish.between_steps and observed.in_mid_shift):
        return None
    return _roll_back(observed, f"{wish.by}: {wish.why}")


def _held(observed: Observed, now: datetime) -> Transition | None:
    rollout = observed.rollout
    if rollout.hold is None:
        return None
    if rollout.phase.reached(Phase.PROMOTED):
        return _stay(observed, f"held by {rollout.hold.by}: {rollout.hold.why}")
    limit = rollout.hold.at + rollout.plan.hold_limit
    if now >= limit:
        minutes = rollout.plan.hold_limit.total_seconds() / 60
        return _roll_back(observed, f"no decision within {minutes:g} min of the hold ({rollout.hold.why})")
    return _wait(observed, f"held by {rollout.hold.by}: {rollout.hold.why}", limit)


def _route_in_trouble(observed: Observed) -> Transition | None:
    """Somebody else owns the route, or rewrote it: nobody can say who gets what."""
    rollout, trouble = observed.rollout, observed.route.trouble
    if not trouble or rollout.phase.reached(Phase.PROMOTED):
        return None
    if rollout.moved:
        return Transition(Act.NEED_ATTENTION, trouble, Phase.NEEDS_ATTENTION, rollout.step)
    return _roll_back(observed, trouble)


def _danger(observed: Observed, now: datetime) -> Transition | None:
    """A breach, or a new colour that is down while it may get traffic."""
    rollout = observed.rollout
    if not (rollout.phase.under_traffic and rollout.moved):
        return None
    breaches = [v.why for v in observed.verdicts if v.breached]
    if breaches:
        return _roll_back(observed, "; ".join(breaches))
    if observed.new.digest not in (None, rollout.release.digest):
        return _roll_back(observed, f"the {rollout.colour} colour runs {observed.new.digest} instead")
    if observed.new.ready >= rollout.plan.replicas:
        return None
    words = readiness(observed)
    if observed.new.ready == 0 or observed.new.failing:
        return _roll_back(observed, words)
    if observed.unready_since and now - observed.unready_since >= rollout.plan.unready_grace:
        return _roll_back(observed, words)
    return None


def _parked(observed: Observed, now: datetime) -> Transition | None:
    rollout = observed.rollout
    if not rollout.phase.reached(rollout.goal):
        return None
    if rollout.phase.reached(Phase.PROMOTED):
        return _stay(observed, f"goal {rollout.goal} reached")
    if now >= rollout.phase_began + rollout.plan.park_limit:
        return _roll_back(observed, f"nobody asked for more than {rollout.goal} in time")
    return _stay(observed, f"goal {rollout.goal} reached")


def _pending(observed: Observed, now: datetime) -> Transition:
    rollout = observed.rollout
    if observed.route.weights.of(rollout.colour) > 0 and not rollout.first_release:
        return _roll_back(
            observed, f"the {rollout.colour} colour already has traffic: nothing was deployed to it"
        )
    if rollout.plan.migration is not None:
        return _enter(observed, Phase.DEPLOYING, "the schema first")
    why = f"bring {rollout.release.name} up as {rollout.colour}, without traffic"
    return Transition(Act.DEPLOY, why, Phase.DEPLOYING, rollout.step)


def _deploying(observed: Observed, now: datetime) -> Transition:
    rollout, new = observed.rollout, observed.new
    if schema := decide_schema(observed, now):
        return schema
    if not new.exists or new.digest != rollout.release.digest:
        return Transition(Act.DEPLOY, "the cluster does not show it yet", Phase.DEPLOYING, rollout.step)
    if new.ready >= rollout.plan.replicas:
        return _enter(observed, Phase.VERIFYING, f"{new.ready} pods ready")
    return _wait_for_ready(observed, now)


def _verifying(observed: Observed, now: datetime) -> Transition:
    rollout = observed.rollout
    report = rollout.checked
    if report is not None and report.passed:
        return _enter(observed, Phase.SHIFTING, f"{report.ran} checks passed on the preview")
    if report is not None:
        return _roll_back(observed, "the preview failed its checks: " + _failures(report.failures))
    if observed.new.ready < rollout.plan.replicas:
        return _wait_for_ready(observed, now)
    limit = rollout.plan.deploy_deadline
    if observed.trouble and now >= rollout.phase_began + limit:
        return _roll_back(observed, f"not checked within {limit.total_seconds():g} s: {observed.trouble}")
    return Transition(Act.VERIFY, f"check the preview ({rollout.colour})", Phase.VERIFYING, rollout.step)


def _wait_for_ready(observed: Observed, now: datetime) -> Transition:
    rollout = observed.rollout
    limit = rollout.plan.deploy_deadline
    if rollout.phase is Phase.DEPLOYING and rollout.plan.migration is not None:
        limit += rollout.plan.migration.deadline
    deadline = rollout.phase_began + limit
    if now >= deadline:
        return _roll_back(observed, f"not ready within {limit.total_seconds():g} s: {readiness(observed)}")
    return _wait(observed, readiness(observed), deadline)


def _shifting(observed: Observed, now: datetime) -> Transition:
    rollout = observed.rollout
    step = rollout.steps[rollout.step]
    on_the_way = _reach(observed, Weights.towards(rollout.colour, step.weight), now)
    if on_the_way is not None:
        return on_the_way
    last = rollout.step == len(rollout.steps) - 1
    if last:
        return _enter(observed, Phase.BAKING, f"{rollout.colour} has all traffic")
    done = f"{step.weight} % watched for {step.hold.total_seconds():g} s"
    further = Transition(Act.ENTER, done, Phase.SHIFTING, rollout.step + 1)
    return _watch(observed, step.hold, further, now)


def _baking(observed: Observed, now: datetime) -> Transition:
    rollout = observed.rollout
    on_the_way = _reach(observed, Weights.towards(rollout.colour, 100), now)
    if on_the_way is not None:
        return on_the_way
    span = max(rollout.plan.bake, rollout.steps[-1].hold)
    promoted = Transition(Act.ENTER, f"baked for {span.total_seconds():g} s", Phase.PROMOTED, rollout.step)
    return _watch(observed, span, promoted, now)


def _promoted(observed: Observed, now: datetime) -> Transition:
    if observed.rollout.first_release:
        return _enter(observed, Phase.RECLAIMED, "there is no old colour to keep")
    return _enter(observed, Phase.WARM, f"{observed.rollout.old} stays warm")


_FORWARD: dict[Phase, Callable[[Observed, datetime], Transition]] = {
    Phase.PENDING: _pending,
    Phase.DEPLOYING: _deploying,
    Phase.VERIFYING: _verifying,
    Phase.SHIFTING: _shifting,
    Phase.BAKING: _baking,
    Phase.PROMOTED: _promoted,
    Phase.WARM: decide_warm,
}


def _reach(observed: Observed, wanted: Weights, now: datetime) -> Transition | None:
    """Make the route say `wanted`, and see it in real responses. None when both are so."""
    rollout = observed.rollout
    if observed.route.weights != wanted:
        if rollout.since is not None and all_on_old(observed):
            return given_back(observed) or _wait(observed, readiness(observed), now)
        if observed.new.ready < rollout.plan.replicas:
            if not rollout.moved:
                return _wait_for_ready(observed, now)
            return _wait(observed, "no more traffic before all pods are ready: " + readiness(observed), now)
        return Transition(Act.SHIFT, f"to {in_words(wanted)}", rollout.phase, rollout.step, wanted)
    if rollout.since is None:
        began = rollout.shifted_at or rollout.phase_began
        if now >= began + rollout.plan.confirm_limit:
            return _roll_back(observed, f"the route says {in_words(wanted)}, real responses do not show it")
        why = f"see {in_words(wanted)} in real responses"
        return Transition(Act.CONFIRM, why, rollout.phase, rollout.step, wanted)
    return None


def _watch(observed: Observed, span: timedelta, passed: Transition, now: datetime) -> Transition:
    """Wait for the span, then for a verdict of every trigger. A span of no length is not watched."""
    rollout = observed.rollout
    began = rollout.since or now
    if span <= timedelta() or not rollout.plan.triggers:
        return passed if now >= began + span else _wait(observed, "watched by the clock only", began + span)
    if now < began + span:
        return _wait(observed, _watching(observed), began + span)
    if observed.new.ready < rollout.plan.replicas:
        return _wait(observed, readiness(observed), now)
    open_verdicts = [v for v in observed.verdicts if v.holds_step]
    if observed.verdicts and not open_verdicts:
        return passed
    return _without_verdict(observed, began + span, now)


def _without_verdict(observed: Observed, due: datetime, now: datetime) -> Transition:
    plan = observed.rollout.plan
    waiting = [v for v in observed.verdicts if v.holds_step]
    words = "no verdict: " + ("; ".join(f"{v.why} ({v.outcome})" for v in waiting) or "nothing was judged")
    too_few = bool(waiting) and all(v.lacks_samples for v in waiting)
    limit = due + plan.extension
    policy = plan.on_insufficient_samples
    if now >= limit or (too_few and policy is OnInsufficientSamples.MANUAL):
        return _hold(observed, words)
    if observed.rollout.first_release and policy is OnInsufficientSamples.EXTEND:
        policy = OnInsufficientSamples.GENERATE  # nobody can use a service that was never there
    if too_few and policy is OnInsufficientSamples.GENERATE:
        rollout = observed.rollout
        return Transition(Act.GENERATE, words, rollout.phase, rollout.step, until=now + GENERATE_EVERY)
    return _wait(observed, words, limit)


def _enter(observed: Observed, phase: Phase, why: str) -> Transition:
    return Transition(Act.ENTER, why, phase, observed.rollout.step)


def _roll_back(observed: Observed, why: str) -> Transition:
    return Transition(Act.BEGIN_ROLLBACK, why, Phase.ROLLING_BACK, observed.rollout.step)


def _hold(observed: Observed, why: str) -> Transition:
    return Transition(Act.HOLD, why, observed.rollout.phase, observed.rollout.step)


def _stay(observed: Observed, why: str) -> Transition:
    return Transition(Act.STAY, why, observed.rollout.phase, observed.rollout.step)


def _wait(observed: Observed, why: str, until: datetime) -> Transition:
    return Transition(Act.WAIT, why, observed.rollout.phase, observed.rollout.step, until=until)


def _watching(observed: Observed) -> str:
    return "; ".join(v.why for v in observed.verdicts) or "watching"


def _failures(failures: tuple[str, ...]) -> str:
    return "; ".join(failures) or "there is no check in the catalog, and no check is no pass"
