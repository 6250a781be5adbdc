"""The state of one rollout and what can happen to it. Immutable; it moves by the functions of this module."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from .migration import NO_JOB, MigrationStatus
from .plan import Plan, Step
from .ports import ColourStatus, RouteState
from .release import Colour, Release, Target, Weights
from .triggers import Verdict


class Phase(StrEnum):
    """Where a rollout is. One sentence each; the order is the way of a good release."""

    PENDING = "Pending"
    """Asked for; nothing was touched."""
    DEPLOYING = "Deploying"
    """The preview colour is being brought up at full size, without production traffic."""
    VERIFYING = "Verifying"
    """The preview is ready and its checks run."""
    SHIFTING = "Shifting"
    """Weights move step by step; each step is watched."""
    BAKING = "Baking"
    """All traffic is on the new colour and is watched for the bake time."""
    PROMOTED = "Promoted"
    """The bake passed; the new colour is the active one."""
    WARM = "Warm"
    """The old colour stays at full size and watched, so that going back takes seconds."""
    RECLAIMED = "Reclaimed"
    """The warm window is over; the old colour is gone."""
    ROLLING_BACK = "RollingBack"
    """Traffic goes back to the old colour."""
    ROLLED_BACK = "RolledBack"
    """The old colour has all traffic, seen in real responses, passed its checks; the new one is removed."""
    NEEDS_ATTENTION = "NeedsAttention"
    """Both colours are bad: traffic stays put and people are paged."""

    @property
    def terminal(self) -> bool:
        return self in (Phase.RECLAIMED, Phase.ROLLED_BACK)

    @property
    def forward(self) -> bool:
        """On the way of a good release, not going back."""
        return self in _FORWARD

    def reached(self, goal: Phase) -> bool:
        """Whether a rollout in this phase has come as far as `goal`."""
        if not goal.forward:
            return self is goal
        return self.forward and _FORWARD.index(self) >= _FORWARD.index(goal)

    @property
    def under_traffic(self) -> bool:
        """The new colour may get production traffic, so its triggers are judged."""
        return self in (Phase.SHIFTING, Phase.BAKING, Phase.PROMOTED, Phase.WARM)


_FORWARD = (
    Phase.PENDING,
    Phase.DEPLOYING,
    Phase.VERIFYING,
    Phase.SHIFTING,
    Phase.BAKING,
    Phase.PROMOTED,
    Phase.WARM,
    Phase.RECLAIMED,
)


@dataclass(frozen=True)
class Hold:
    """A person (or the controller, for want of a verdict) stopped the rollout: weights stay as they are."""

    by: str
    why: str
    at: datetime


@dataclass(frozen=True)
class Wish:
    """Somebody asked to go back."""

    by: str
    why: str
    at: datetime
    between_steps: bool = False
    """It waits for the end of a shift that is under way: a hotfix is in less of a hurry than a person."""


@dataclass(frozen=True)
class CheckReport:
    """The outcome of a colour's checks; empty `failures` is a pass of all `ran` checks."""

    colour: Colour
    ran: int
    failures: tuple[str, ...]
    at: datetime

    @property
    def passed(self) -> bool:
        """No check at all is no pass: no data is not success."""
        return self.ran > 0 and not self.failures


@dataclass(frozen=True)
class Rollout:
    """One row of the ledger."""

    id: str
    dag_id: str
    run_id: str
    """With `dag_id`: the run that asked for it; one rollout a run."""
    promotion_id: str | None
    target: Target
    release: Release
    colour: Colour
    """The new one."""
    previous_digest: str | None
    """What the other colour ran when the rollout started; None: the service's first release here."""
    plan: Plan
    goal: Phase
    """The controller never goes beyond it; the promotion's tasks move it on."""
    requested_by: str
    log_url: str
    created_at: datetime
    phase: Phase = Phase.PENDING
    step: int = 0
    weights: Weights = field(default_factory=Weights)
    """The last ones wanted."""
    moved_at: datetime | None = None
    """When traffic was first sent to the new colour, or was about to be; None: never."""
    entered_at: datetime | None = None
    """Begin of the phase."""
    shifted_at: datetime | None = None
    """When the present weights were first asked for."""
    since: datetime | None = None
    """When real responses showed the wanted weights; None: not yet."""
    checked: CheckReport | None = None
    """Of this phase."""
    baseline: CheckReport | None = None
    """Of the old colour before its schema changed: what failed then already is not the migration's doing."""
    reason: str = ""
    """Why it goes or went back, or needs attention."""
    hold: Hold | None = None
    wish: Wish | None = None
    holder: str | None = None
    token: int = 0
    lease_until: datetime | None = None

    @property
    def moved(self) -> bool:
        return self.moved_at is not None

    @property
    def old(self) -> Colour:
        return self.colour.other

    @property
    def first_release(self) -> bool:
        return self.previous_digest is None

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.plan.steps_for(first_release=self.first_release)

    @property
    def phase_began(self) -> datetime:
        return self.entered_at or self.created_at

    def settled(self, goal: Phase) -> bool:
        """Nothing is left to do on the way to `goal`: reached, gone back, or waiting for people."""
        if self.wish is not None and self.phase.forward and not self.phase.terminal:
            return False
        return self.phase.reached(goal) or self.phase.terminal or self.phase is Phase.NEEDS_ATTENTION


def heeded(wish: Wish, rollout: Rollout) -> bool:
    """Whether a wish changes what a rollout that is not over was asked for. A person's outranks one that
    waits for the end of a shift, and the latter asks nothing of a release that is promoted."""
    if wish.between_steps:
        return rollout.wish is None and not rollout.phase.reached(Phase.PROMOTED)
    first = rollout.wish is None or rollout.wish.between_steps
    return first or rollout.phase is Phase.NEEDS_ATTENTION


class Act(StrEnum):
    """What the controller does next. Only the first group touches anything but the ledger."""

    BASELINE = "Baseline"
    """Run the old colour's checks before the schema that it uses changes."""
    MIGRATE = "Migrate"
    """Start the Job of the schema migration."""
    DEPLOY = "Deploy"
    VERIFY = "Verify"
    SHIFT = "Shift"
    CONFIRM = "Confirm"
    """Look at the colour of real responses."""
    GENERATE = "Generate"
    """Send verification load to the new colour."""
    SCALE_UP_OLD = "ScaleUpOld"
    VERIFY_OLD = "VerifyOld"
    REMOVE_NEW = "RemoveNew"
    RECLAIM = "Reclaim"

    ENTER = "Enter"
    """Go to the phase and step of the transition."""
    BEGIN_ROLLBACK = "BeginRollback"
    HOLD = "Hold"
    NEED_ATTENTION = "NeedAttention"

    WAIT = "Wait"
    """Look again at `until` at the latest."""
    STAY = "Stay"
    """At the goal, terminal, or waiting for people."""

    @property
    def recorded(self) -> bool:
        """Waiting is no event: it would drown the journal."""
        return self not in (Act.WAIT, Act.STAY, Act.GENERATE)

    @property
    def looks_only(self) -> bool:
        """Has no effect to announce; its outcome is recorded when it says something."""
        return self in (Act.CONFIRM, Act.GENERATE)

    @property
    def of_ledger(self) -> bool:
        """Changes nothing but the row."""
        return self in (Act.ENTER, Act.BEGIN_ROLLBACK, Act.NEED_ATTENTION)


@dataclass(frozen=True)
class Transition:
    act: Act
    why: str
    phase: Phase
    """Of the rollout once the act succeeded."""
    step: int
    weights: Weights | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Observed:
    """Everything that `decide` looks at, except the time."""

    rollout: Rollout
    new: ColourStatus
    old: ColourStatus
    route: RouteState
    verdicts: tuple[Verdict, ...] = ()
    unready_since: datetime | None = None
    """Since when the new colour has had fewer ready pods than its full size; None: it has all."""
    migration: MigrationStatus = NO_JOB
    """Looked at while the colour is being deployed."""
    trouble: str = ""
    """Why the last act could not be done, in the words of the system that did not answer; empty: it could."""

    @property
    def in_mid_shift(self) -> bool:
        """The route says the step's weights, and real responses have not shown them yet. An intent that
        never became a patch is no shift: nothing is left half done."""
        rollout = self.rollout
        if rollout.phase not in (Phase.SHIFTING, Phase.BAKING) or rollout.since is not None:
            return False
        return self.route.weights == Weights.towards(rollout.colour, rollout.steps[rollout.step].weight)


@dataclass(frozen=True)
class Effect:
    """What an act saw. `confirmed` is of CONFIRM, `report` of VERIFY, VERIFY_OLD and BASELINE."""

    words: str = ""
    confirmed: bool = False
    report: CheckReport | None = None


def intended(rollout: Rollout, transition: Transition, now: datetime) -> Rollout:
    """The row as it is written before the effect: nobody may believe any more that traffic never moved."""
    if transition.act is not Act.SHIFT or transition.weights is None:
        return rollout
    gains = transition.weights.of(rollout.colour) > 0
    return replace(
        rollout,
        weights=transition.weights,
        moved_at=rollout.moved_at or (now if gains else None),
        shifted_at=rollout.shifted_at if transition.weights == rollout.weights else now,
        since=None,
    )


def advanced(rollout: Rollout, transition: Transition, effect: Effect, now: datetime) -> Rollout:
    """The row as it is written after the effect."""
    if transition.act in (Act.BEGIN_ROLLBACK, Act.NEED_ATTENTION):
        rollout = replace(rollout, reason=transition.why, hold=None)
    if transition.act is Act.CONFIRM and effect.confirmed:
        rollout = replace(rollout, since=now)
    if effect.report is not None and transition.act is Act.BASELINE:
        rollout = replace(rollout, baseline=effect.report)
    elif effect.report is not None:
        rollout = replace(rollout, checked=effect.report)
    return entered(rollout, transition.phase, transition.step, now)


def entered(rollout: Rollout, phase: Phase, step: int, now: datetime) -> Rollout:
    if phase is rollout.phase and step == rollout.step:
        return rollout
    if phase is not rollout.phase:
        since = now if phase in (Phase.BAKING, Phase.PROMOTED, Phase.WARM) else None
        return replace(rollout, phase=phase, step=step, entered_at=now, since=since, checked=None)
    return replace(rollout, step=step, since=None)
