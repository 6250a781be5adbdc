"""Admission: may a release be let in now, whatever it is worth? Freeze windows, incidents, staging's state.

Asked when a run begins, and again when its rollout is opened, since days may lie between (votes). Going back
to a release that was verified here before is never refused (design, rule 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from .errors import Held
from .freeze import Window, closed
from .gates import FREEZE, INCIDENTS, STAGING, Required
from .incidents import Incident
from .state import Phase, Rollout


@dataclass(frozen=True)
class StagingSeen:
    """Staging as it is now."""

    verified: bool
    """This digest is among the releases that staging has verified, and was not rolled back there."""
    troubles: tuple[str, ...]
    """What its serving colour's checks found, in words; also: nothing serves, or there are no checks."""


@dataclass(frozen=True)
class Circumstances:
    service: str
    environment: str
    release: str
    incidents: tuple[Incident, ...] = ()
    """The open ones of the service, whatever their environment."""
    fixes: tuple[str, ...] = ()
    """Incidents whose cause the release removes, as its requester states."""
    windows: tuple[Window, ...] = ()
    staging: StagingSeen | None = None
    """None: not asked, since the environment does not require it."""
    hotfix: bool = False
    """It goes the emergency way, which has an approval of its own."""
    going_back: bool = False
    """The digest was verified in this environment before."""


@dataclass(frozen=True)
class Verdict:
    gate: str
    refused: tuple[str, ...] = ()
    """Reasons, each with what to do."""
    waived: tuple[str, ...] = ()
    """What would have refused it, and why it does not."""

    @property
    def outcome(self) -> str:
        return "failed" if self.refused else "passed"

    @property
    def reason(self) -> str:
        return "; ".join([*self.refused, *self.waived])


def admission(required: Required, seen: Circumstances, now: datetime) -> tuple[Verdict, ...]:
    """One verdict for each gate of the environment that the policy requires."""
    judges = {FREEZE: _freeze, INCIDENTS: _incidents, STAGING: _staging}
    return tuple(_waived(judge(seen, now), seen) for gate, judge in judges.items() if gate in required.gates)


def refused(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    return tuple(reason for verdict in verdicts for reason in verdict.refused)


def require_idle(rollout: Rollout | None) -> None:
    """Held while that rollout, the one that is not over there, is on its way. A warm window is in nobody's
    way."""
    if rollout is None or rollout.phase.reached(Phase.PROMOTED):
        return
    where = rollout.target
    raise Held(
        f"{rollout.release.name} of {where.service} is already on its way to {where.environment}: "
        f"{rollout.phase}, asked for by {rollout.requested_by}, held by "
        f"{rollout.holder or rollout.requested_by}. Wait, or: ops abort {where.service} {where.environment}"
    )


def unknown_fixes(fixes: Sequence[str], incidents: Iterable[Incident]) -> tuple[str, ...]:
    """What is named as removed and is no incident of the service, open or closed."""
    known = {incident.id for incident in incidents}
    return tuple(fix for fix in fixes if fix not in known)


def _waived(verdict: Verdict, seen: Circumstances) -> Verdict:
    if not verdict.refused or not (seen.hotfix or seen.going_back):
        return verdict
    why = "this is a hotfix" if seen.hotfix else f"{seen.release} was verified in {seen.environment} before"
    excused = tuple(f"{reason.partition(': ')[0]}: admitted, since {why}" for reason in verdict.refused)
    return Verdict(verdict.gate, waived=(*verdict.waived, *excused))


def _freeze(seen: Circumstances, now: datetime) -> Verdict:
    todo = "promote again after it, or take the hotfix way"
    return Verdict(FREEZE, tuple(f"{words}: {todo}" for words in closed(seen.windows, now)))


def _incidents(seen: Circumstances, now: datetime) -> Verdict:
    mine = [incident for incident in seen.incidents if incident.concerns(seen.environment)]
    removed = [incident for incident in mine if incident.id in seen.fixes]
    refused = tuple(
        f"{incident.id} is open since {incident.opened_at:%Y-%m-%d %H:%M} UTC ({incident.why}): close it by "
        f"`ops incident close {incident.id}`, or promote with `--fixes {incident.id}` what removes its cause"
        for incident in mine
        if incident not in removed
    )
    waived = tuple(
        f"{incident.id} ({incident.why}): admitted, since it removes the cause" for incident in removed
    )
    return Verdict(INCIDENTS, refused, waived)


def _staging(seen: Circumstances, now: datetime) -> Verdict:
    if seen.staging is None:
        return Verdict(STAGING, ("staging was not looked at, and that is no pass: promote again",))
    reasons = []
    if not seen.staging.verified:
        reasons.append(f"{seen.release} is not verified in staging (any more): promote it there first")
    again = f"look with `ops status {seen.service} staging`, repair it, and promote again"
    reasons += [f"staging is not healthy, {trouble}: {again}" for trouble in seen.staging.troubles]
    reasons += [
        f"staging is not healthy, {incident.id} is open there ({incident.why}): {again}"
        for incident in seen.incidents
        if incident.environment == STAGING and incident.id not in seen.fixes
    ]
    return Verdict(STAGING, tuple(reasons))
