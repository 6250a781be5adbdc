"""What people changed in the cluster by hand, and what follows from it: followed, refused or put back.

Pure: what should stand there (from the ledger), what was seen, and one answer. Rules:

* traffic goes by hand only to a colour whose digest was approved here before and that is ready in full size;
* an operator outranks a rollout that is under way: pointing the Service at its old colour takes it back;
* what keeps users served (the serving colour, the old one in its warm window) is kept at full size;
* what a rollout under way moves by itself (its weights, its new colour) is left to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .ports import ColourStatus, RouteState
from .release import Colour, Router, Target, Weights
from .state import Phase, Rollout


class Subject(StrEnum):
    """What was changed."""

    NAMESPACE = "namespace"
    ROUTE = "route"
    SELECTOR = "selector"
    TEMPLATE = "template"
    REPLICAS = "replicas"


class Outcome(StrEnum):
    FOLLOWED = "followed"
    """An operator's decision: it counts from now on."""
    REFUSED = "refused"
    """It does not count; users never got it, or get the version before again."""
    PUT_BACK = "put back"
    """What was taken away is there again."""


class Deed(StrEnum):
    """What the controller does about it."""

    GO_BACK = "GoBack"
    """The rollout under way goes back, with all its proofs."""
    ROUTE = "Route"
    """All traffic to the colour, by the guard and the fence; confirmed and checked."""
    SELECT = "Select"
    """The Service back at the colour."""
    APPLY = "Apply"
    """The colour's manifests again."""
    SCALE = "Scale"
    """The colour at full size again."""
    NOTE = "Note"
    """Nothing: it is written down."""


@dataclass(frozen=True)
class Trace:
    """An object's state as the API server names it. `mark` changes with each change of what is wanted."""

    mark: str = "gone"
    by: str = ""
    """Field manager of the last change that was not ours, such as `kubectl-patch`; empty: not known."""


@dataclass(frozen=True)
class Seen:
    """The objects of a target as they stand."""

    route: RouteState
    selected: Colour | None
    """By the Service; None: there is none, or it selects no colour."""
    colours: Mapping[Colour, ColourStatus]
    approved: frozenset[str] = frozenset()
    """Of the digests that are deployed: those that may have traffic here."""
    namespace: bool = True
    service: Trace = Trace()
    http_route: Trace = Trace()
    deployments: Mapping[Colour, Trace] = field(default_factory=dict)

    def may_serve(self, colour: Colour, size: int) -> bool:
        status = self.colours[colour]
        return status.exists and status.digest in self.approved and status.ready >= size


@dataclass(frozen=True)
class HandChange:
    """One change by hand and what was made of it: a row of the ledger."""

    event: str
    """The same change of the same object, whoever sees it and however often."""
    at: datetime
    service: str
    environment: str
    rollout_id: str
    """The newest rollout there at that time."""
    subject: Subject
    outcome: Outcome
    deed: Deed
    colour: Colour | None
    digest: str | None
    happened: str
    ended_at: datetime | None = None
    said: str = ""
    """What was done, in words."""
    number: int = 0
    """Given by the ledger."""


@dataclass(frozen=True)
class Standing:
    """What should be there."""

    rollout: Rollout
    serving: Colour
    kept: Mapping[Colour, str | None]
    """Colours that must stand at full size, and their digests."""

    @property
    def under_way(self) -> bool:
        return not self.rollout.phase.terminal

    @property
    def size(self) -> int:
        return self.rollout.plan.replicas


def standing_of(rollout: Rollout, changes: Sequence[HandChange], now: datetime) -> Standing | None:
    """From the newest rollout and the hand changes since. None: nothing has to be there, or nobody knows."""
    serving, kept = _of_rollout(rollout, now)
    if serving is None:
        return None
    for change in changes:
        if change.outcome is not Outcome.FOLLOWED or change.ended_at is None or change.colour is None:
            continue
        if change.deed is Deed.ROUTE:
            serving, kept = change.colour, {change.colour: change.digest}
        elif change.subject is Subject.TEMPLATE and change.colour in kept:
            kept = {**kept, change.colour: change.digest}
    return Standing(rollout, serving, kept)


def _of_rollout(rollout: Rollout, now: datetime) -> tuple[Colour | None, dict[Colour, str | None]]:
    new, old = {rollout.colour: rollout.release.digest}, {rollout.old: rollout.previous_digest}
    first = rollout.first_release
    match rollout.phase:
        case Phase.RECLAIMED:
            return rollout.colour, dict(new)
        case Phase.ROLLED_BACK | Phase.PENDING | Phase.DEPLOYING | Phase.VERIFYING:
            return (None, {}) if first else (rollout.old, dict(old))
        case Phase.SHIFTING | Phase.BAKING if first:
            return rollout.colour, dict(new)
        case Phase.SHIFTING | Phase.BAKING:
            moved = rollout.phase is Phase.BAKING
            return rollout.colour if moved else rollout.old, {**old, **new}
        case Phase.PROMOTED | Phase.WARM:
            warm = not first and now < rollout.phase_began + rollout.plan.warm
            return rollout.colour, {**new, **(old if warm else {})}
        case Phase.NEEDS_ATTENTION if not first:
            # Nobody can go back to a colour that is not there: what people are asked to repair is kept.
            return rollout.weights.majority or rollout.old, dict(old)
        case _:
            return None, {}


@dataclass(frozen=True)
class Answer:
    """One deed, and the words of its page."""

    subject: Subject
    outcome: Outcome
    deed: Deed
    mark: str
    """Of the changed object: the same change is one event, whoever sees it and however often."""
    happened: str
    todo: str
    colour: Colour | None = None
    digest: str | None = None
    paged: bool = True


def answer(standing: Standing, seen: Seen) -> Answer | None:
    """The most urgent thing; None: all is as it should be, or a rollout under way sees to it."""
    if standing.rollout.phase is Phase.ROLLING_BACK:
        return None
    return (
        _no_ground(standing, seen)
        or _selector(standing, seen)
        or _deployments(standing, seen)
        or _weights(standing, seen)
    )


def _no_ground(standing: Standing, seen: Seen) -> Answer | None:
    """What nobody but a person can repair."""
    target = standing.rollout.target
    if not seen.namespace:
        return Answer(
            Subject.NAMESPACE,
            Outcome.REFUSED,
            Deed.NOTE,
            f"gone:{standing.rollout.id}",
            f"The namespace {target.namespace} is gone: nothing of {target.service} is there.",
            "Create the namespace and its rights again: what served is deployed again within minutes"
            f"{_then_back(standing)}.",
        )
    if seen.route.trouble:
        todo = "Delete that route, or rename it: the controller then writes its own."
        note = Deed.NOTE
        return Answer(Subject.ROUTE, Outcome.REFUSED, note, seen.http_route.mark, seen.route.trouble, todo)
    return None


def _selector(standing: Standing, seen: Seen) -> Answer | None:
    rollout, target = standing.rollout, standing.rollout.target
    expected = _expected_selection(standing, seen)
    if expected is None or seen.selected is expected:
        return None
    at = seen.selected
    happened = (
        f"The Service {target.service} was pointed at {at}{_by(seen.service)}."
        if at
        else f"The Service {target.service} was deleted, or selects no colour any more{_by(seen.service)}."
    )
    if at is None:
        todo = "Nothing, if that was not meant. To move traffic, point its label `version` at a colour."
        return _of_selector(seen, Outcome.PUT_BACK, Deed.SELECT, expected, happened, todo)
    if standing.under_way:
        return _selector_under_way(rollout, seen, at, expected, happened)
    if seen.may_serve(at, standing.size):
        todo = f"Nothing, if that was meant; otherwise point it at {expected} again."
        digest = seen.colours[at].digest
        return _of_selector(seen, Outcome.FOLLOWED, Deed.ROUTE, at, happened, todo, digest)
    words = f"{happened} {_unfit(seen, at, standing.size)}"
    todo = f"Make {at} ready at full size with an approved release, or ops rollback {_where(target)} --to …"
    return _of_selector(seen, Outcome.REFUSED, Deed.SELECT, expected, words, todo)


def _expected_selection(standing: Standing, seen: Seen) -> Colour | None:
    """The Service follows the colour that has all traffic. None: it is about to be moved, or nobody knows."""
    rollout = standing.rollout
    if not standing.under_way:
        return standing.serving
    if rollout.phase.reached(Phase.BAKING):
        return rollout.colour
    if rollout.phase is Phase.NEEDS_ATTENTION:
        weights = seen.route.weights
        return weights.majority if 100 in (weights.blue, weights.green) else None
    about_to_move = rollout.first_release or rollout.weights.of(rollout.colour) == 100
    return None if about_to_move else rollout.old


def _selector_under_way(
    rollout: Rollout, seen: Seen, at: Colour, expected: Colour, happened: str
) -> Answer | None:
    where = _where(rollout.target)
    old_digest = seen.colours[rollout.old].digest
    if at is rollout.old and rollout.moved and old_digest in seen.approved:
        todo = f"Nothing: ops watch {where} shows how the rollout goes back."
        return _of_selector(seen, Outcome.FOLLOWED, Deed.GO_BACK, at, happened, todo, old_digest)
    why = f"{rollout.release.name} is in {rollout.phase} and gets its traffic by its steps."
    if at is rollout.old:
        why = _unfit(seen, at, 1)
    todo = f"Watch it (ops watch {where}), or go back: ops rollback {where}."
    return _of_selector(seen, Outcome.REFUSED, Deed.SELECT, expected, f"{happened} {why}", todo)


def _of_selector(
    seen: Seen,
    outcome: Outcome,
    deed: Deed,
    colour: Colour,
    happened: str,
    todo: str,
    digest: str | None = None,
) -> Answer:
    return Answer(Subject.SELECTOR, outcome, deed, seen.service.mark, happened, todo, colour, digest)


def _weights(standing: Standing, seen: Seen) -> Answer | None:
    """Without a rollout all traffic is on one colour. A rollout under way looks after its own weights."""
    target, weights = standing.rollout.target, seen.route.weights
    stuck = standing.rollout.phase is Phase.NEEDS_ATTENTION and not weights.routed
    if weights == Weights.towards(standing.serving, 100) or (standing.under_way and not stuck):
        return None
    mark = seen.http_route.mark
    if not weights.routed:
        gone = f"The HTTPRoute {target.service} was deleted, or leads nowhere{_by(seen.http_route)}."
        todo = "Nothing: it is there again. Find out who deleted it."
        colour = standing.serving
        return Answer(Subject.ROUTE, Outcome.PUT_BACK, Deed.ROUTE, mark, gone, todo, colour)
    happened = (
        f"The weights of the HTTPRoute {target.service} were set to blue {weights.blue} %, green "
        f"{weights.green} %{_by(seen.http_route)}."
    )
    gains = standing.serving.other
    if weights.of(gains) == 100 and target.router is Router.HTTP_ROUTE:
        if seen.may_serve(gains, standing.size):
            todo = "Nothing, if that was meant; otherwise set them back."
            digest = seen.colours[gains].digest
            return Answer(Subject.ROUTE, Outcome.FOLLOWED, Deed.ROUTE, mark, happened, todo, gains, digest)
        happened = f"{happened} {_unfit(seen, gains, standing.size)}"
    todo = f"Shares are for a rollout: ops promote {_where(target)}."
    return Answer(Subject.ROUTE, Outcome.REFUSED, Deed.ROUTE, mark, happened, todo, standing.serving)


def _deployments(standing: Standing, seen: Seen) -> Answer | None:
    """The serving colour first."""
    kept = sorted(standing.kept, key=lambda colour: colour is not standing.serving)
    answers = (_deployment(standing, seen, colour) for colour in kept)
    return next((one for one in answers if one is not None), None)


def _deployment(standing: Standing, seen: Seen, colour: Colour) -> Answer | None:
    rollout, status = standing.rollout, seen.colours[colour]
    its_own = standing.under_way and colour is rollout.colour
    trace = seen.deployments.get(colour, Trace())
    name = rollout.target.deployment(colour)
    digest = standing.kept[colour]
    if its_own and (status.desired == 0 or status.digest != digest):
        return None  # the rollout goes back faster than pods start
    if not status.exists:
        happened = f"The Deployment {name} was deleted."
        todo = f"It is there again{_then_back(standing)}. Find out who deleted it."
        apply = Deed.APPLY
        return Answer(Subject.TEMPLATE, Outcome.PUT_BACK, apply, trace.mark, happened, todo, colour, digest)
    if status.digest != digest:
        return _template(standing, seen, colour, trace)
    if status.desired < standing.size:
        happened = f"{name} was scaled to {status.desired}{_by(trace)}; it needs {standing.size}."
        todo = "Nothing: it is at full size again. Its size is stated in the catalog."
        return Answer(
            Subject.REPLICAS, Outcome.PUT_BACK, Deed.SCALE, trace.mark, happened, todo, colour, digest
        )
    if status.desired > standing.size and trace.by:
        happened = f"{name} was scaled up to {status.desired}{_by(trace)}."
        return Answer(
            Subject.REPLICAS,
            Outcome.FOLLOWED,
            Deed.NOTE,
            trace.mark,
            happened,
            "Nothing: the next release comes at the size of the catalog.",
            colour,
            digest,
            paged=False,
        )
    return None


def _template(standing: Standing, seen: Seen, colour: Colour, trace: Trace) -> Answer:
    target, found = standing.rollout.target, seen.colours[colour].digest
    name, before = target.deployment(colour), standing.kept[colour]
    happened = f"{name} runs {found or 'an image without digest'} instead of {before}{_by(trace)}."
    if found in seen.approved:
        todo = f"Look at it (ops status {_where(target)}), then promote what should serve."
        note = Deed.NOTE
        return Answer(Subject.TEMPLATE, Outcome.FOLLOWED, note, trace.mark, happened, todo, colour, found)
    happened = f"{happened} The ledger holds no approval of that here."
    todo = f"To change the version: ops promote {_where(target)}, or ops rollback {_where(target)} --to …"
    apply = Deed.APPLY
    return Answer(Subject.TEMPLATE, Outcome.REFUSED, apply, trace.mark, happened, todo, colour, before)


def _unfit(seen: Seen, colour: Colour, size: int) -> str:
    """Why a colour gets no traffic by hand."""
    status = seen.colours[colour]
    if not status.exists:
        return f"{colour} is not deployed."
    if status.digest not in seen.approved:
        digest = status.digest or "an image without digest"
        return f"{colour} runs {digest}, which the ledger does not hold as approved here."
    return f"Only {status.ready} of {size} pods of {colour} are ready."


def _then_back(standing: Standing) -> str:
    """A rollout that waits for people goes back when they say so."""
    needed = standing.rollout.phase is Phase.NEEDS_ATTENTION
    return f"; then ops rollback {_where(standing.rollout.target)}" if needed else ""


def _by(trace: Trace) -> str:
    return f" by {trace.by}" if trace.by else ""


def _where(target: Target) -> str:
    return f"{target.service} {target.environment}"
