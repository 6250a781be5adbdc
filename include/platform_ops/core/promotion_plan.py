"""A promotion plan: everything that a promotion would meet and do, put together before it is asked for.

`core.plan` is another thing: what one rollout follows once it has begun. What a system that is away would
have told is `NotKnown`, so that the rest can be read all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import accumulate

from .admission import Verdict
from .approvals import ApprovalRule, own_work
from .gate_states import GateState
from .manifest_diff import Change, ManifestChange
from .plan import Plan
from .release import Colour
from .triggers import Comparison, Outcome, Trigger, condition
from .triggers import Verdict as TriggerVerdict

UNKNOWN = "not known"
_NOTHING = timedelta(0)


@dataclass(frozen=True)
class NotKnown:
    """A part of the plan that could not be told."""

    why: str
    away: bool = True
    """A system did not answer. False: nobody can know it yet, and nothing is wrong."""


@dataclass(frozen=True)
class PlannedRelease:
    name: str
    version: str
    commit: str
    digest: str | None
    """None: its promotion builds it."""
    note: str
    """Why it is this one."""


@dataclass(frozen=True)
class RuleState:
    """One rule that lets a release in or not."""

    rule: str
    outcome: str
    """`passed`, `failed` or `not known`."""
    words: tuple[str, ...] = ()
    """Reasons, each with what to do; of a rule that passed: what it waived."""

    @classmethod
    def of(cls, verdict: Verdict) -> RuleState:
        return cls(verdict.gate, verdict.outcome, (*verdict.refused, *verdict.waived))


@dataclass(frozen=True)
class ApprovalTerms:
    wait_timer: timedelta
    """At least so long from the start of the run to the first change, beside the votes."""
    response_timeout: timedelta
    """A vote that takes longer fails the run."""
    expires: timedelta | None
    """A vote that is older does not let the release start; None: it does for ever."""
    requesters: tuple[str, ...]
    """Roles that may ask for it by hand; empty: every role."""


@dataclass(frozen=True)
class ApprovalPlan:
    quorum: Mapping[str, int]
    """Role to number of distinct people; empty: nobody has to vote."""
    may_vote: Mapping[str, tuple[str, ...]]
    """Role to those who hold it and whose vote would count."""
    may_not: Mapping[str, str]
    """Users to why their vote would not count."""
    terms: ApprovalTerms
    notes: tuple[str, ...] = ()
    """What stands in the way, and what is not known, each with what to do."""


@dataclass(frozen=True)
class PlannedStep:
    step: str
    begins: timedelta
    """After the start of the run, at the earliest."""
    lasts: timedelta
    """At least."""
    note: str = ""
    weight: int | None = None
    """Percent of the traffic on the new colour; None: it moves none."""


@dataclass(frozen=True)
class Timeline:
    steps: tuple[PlannedStep, ...]
    least: timedelta
    """From the start of the run until the release is promoted, when nobody and nothing has to be waited for
    beside what is planned."""


@dataclass(frozen=True)
class ManifestPlan:
    colour: Colour
    """What would be deployed."""
    changes: tuple[ManifestChange, ...]


@dataclass(frozen=True)
class TriggerState:
    name: str
    condition: str
    """What breaches it, in words."""
    threshold: float
    """A share where events are counted, else in the unit of its value."""
    comparison: Comparison
    sustained: timedelta
    """The breach must last so long."""
    minimum_samples: int
    outcome: str
    """On the colour that serves now, as `core.triggers.Outcome`, or `not known`."""
    value: float | None
    """Today's, in the threshold's unit; None: no data."""
    words: str
    """The figures in a sentence, or why there are none."""


@dataclass(frozen=True)
class PromotionPlan:
    service: str
    environment: str
    live: str | None
    """Name of the release that was verified there last; None: there was none."""
    release: PlannedRelease | NotKnown
    gates: tuple[GateState, ...] | NotKnown
    admission: tuple[RuleState, ...]
    approval: ApprovalPlan
    timeline: Timeline
    manifests: ManifestPlan | NotKnown
    triggers: tuple[TriggerState, ...]
    trouble: tuple[str, ...] = ()
    """Systems that were asked beside these parts and did not answer."""

    def refusals(self) -> tuple[str, ...]:
        """Why the promotion would not get to its rollout if it was asked for now, each with what to do."""
        gates = () if isinstance(self.gates, NotKnown) else self.gates
        failed = [f"{one.gate} failed: {one.todo}" for one in gates if one.refuses]
        ruled = [words for rule in self.admission if rule.outcome == "failed" for words in rule.words]
        return (*failed, *ruled)

    def rejected(self) -> tuple[str, ...]:
        """Manifests that the API server would not take."""
        if isinstance(self.manifests, NotKnown):
            return ()
        return tuple(
            f"{one.kind} {one.name}: {one.why}"
            for one in self.manifests.changes
            if one.change is Change.REFUSED
        )

    def unknown(self) -> tuple[str, ...]:
        """What some system that is away would have told."""
        parts = (self.release, self.gates, self.manifests)
        whole = [part.why for part in parts if isinstance(part, NotKnown) and part.away]
        rules = [words for rule in self.admission if rule.outcome == UNKNOWN for words in rule.words]
        triggers = [one.words for one in self.triggers if one.outcome == UNKNOWN]
        return tuple(dict.fromkeys([*whole, *rules, *triggers, *self.trouble]))


def approval_plan(
    rule: ApprovalRule,
    terms: ApprovalTerms,
    *,
    requester: str,
    authors: Iterable[str],
    notes: Iterable[str] = (),
) -> ApprovalPlan:
    """Who may vote and who may not. `requester` is whoever would ask; empty: nobody knows yet."""
    own = {user: why for user, why in own_work(rule, requester, authors).items() if user}
    may_vote = {
        role: tuple(sorted(rule.entitled.get(role, frozenset()) - own.keys())) for role in rule.required
    }
    short = [
        f"only {len(may_vote[role])} of the {count} that are needed may vote as {role}: let somebody else "
        "ask, or give the role to one more person"
        for role, count in rule.required.items()
        if len(may_vote[role]) < count
    ]
    return ApprovalPlan(rule.required, may_vote, own, terms, (*notes, *short))


def timeline(plan: Plan, *, wait_timer: timedelta, first_release: bool) -> Timeline:
    """The steps from the votes to the end of the warm window. Gates, build and votes take what they take and
    add nothing to the least time."""
    steps = tuple(_steps(plan, wait_timer, first_release))
    ends = accumulate((step.lasts for step in steps), initial=_NOTHING)
    placed = tuple(replace(step, begins=begins) for step, begins in zip(steps, ends, strict=False))
    warm = [step.begins for step in placed if step.step == "warm"]
    return Timeline(placed, warm[0] if warm else sum((step.lasts for step in steps), _NOTHING))


def _steps(plan: Plan, wait_timer: timedelta, first_release: bool) -> Iterator[PlannedStep]:
    timer = "the wait timer, beside the votes" if wait_timer else "no wait timer"
    yield PlannedStep("approve", _NOTHING, wait_timer, timer)
    if plan.migration is not None:
        note = f"the schema first, as Job {plan.migration.job}: at most {in_words(plan.migration.deadline)}"
        yield PlannedStep("migrate", _NOTHING, _NOTHING, note)
    ready = f"at most {in_words(plan.deploy_deadline)} until {plan.replicas} pods are ready, without traffic"
    yield PlannedStep("deploy preview", _NOTHING, _NOTHING, ready)
    yield PlannedStep("verify", _NOTHING, _NOTHING, f"{len(plan.checks)} checks on the preview")
    watched = f"{len(plan.triggers)} triggers watch" if plan.triggers else "nothing is watched"
    for step in plan.steps_for(first_release=first_release):
        yield PlannedStep(f"{step.weight} %", _NOTHING, step.hold, watched, step.weight)
    if plan.bake:
        yield PlannedStep("bake", _NOTHING, plan.bake, watched)
    if plan.warm and not first_release:
        yield PlannedStep("warm", _NOTHING, plan.warm, "promoted; the old colour stays, for going back")


def trigger_state(trigger: Trigger, verdict: TriggerVerdict | NotKnown) -> TriggerState:
    """`verdict` is that of the colour that serves now."""
    if isinstance(verdict, NotKnown):
        outcome, value, words = Outcome.NO_DATA, None, verdict.why
        away = verdict.away
    else:
        outcome, value, words = verdict.outcome, verdict.value, verdict.why.partition(": ")[2]
        away = verdict.outcome is Outcome.UNAVAILABLE
    return TriggerState(
        name=trigger.name,
        condition=condition(trigger),
        threshold=trigger.threshold,
        comparison=trigger.comparison,
        sustained=trigger.sustained,
        minimum_samples=trigger.minimum_samples,
        outcome=UNKNOWN if away else outcome.value,
        value=value,
        words=words,
    )


def in_words(duration: timedelta) -> str:
    """`1 d`, `2 min 30 s`: as people say it, to the second."""
    seconds = round(duration.total_seconds())
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts = []
    for unit, length in units:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"
