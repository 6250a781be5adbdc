"""A digest that went back is on hold: nothing promotes it again before a named person lets it go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .errors import GateClosed
from .records import Entry
from .state import Rollout


@dataclass(frozen=True)
class DigestHold:
    """One line: `held` by a rollback, or let go by a person. The newest of a digest in an environment
    counts."""

    service: str
    environment: str
    digest: str
    held: bool
    by: str
    why: str
    at: datetime
    rollout_id: str | None = None
    """The rollback that held it; None of a release."""


def hold_after(rollout: Rollout, by: str, now: datetime) -> DigestHold | None:
    """What a rollback leaves behind. A preview that a person stopped before it had any traffic says nothing
    about its digest: it may be promoted again."""
    if rollout.wish is not None and not rollout.moved:
        return None
    where = rollout.target
    digest = rollout.release.digest
    return DigestHold(where.service, where.environment, digest, True, by, rollout.reason, now, rollout.id)


def held_entry(rollout: Rollout, hold: DigestHold) -> Entry:
    """The journal's line about it."""
    return Entry(
        service=hold.service,
        environment=hold.environment,
        at=hold.at,
        actor=hold.by,
        kind="note",
        what="HoldDigest",
        why=f"{rollout.release.name} is on hold: {hold.why}",
        rollout_id=rollout.id,
        promotion_id=rollout.promotion_id,
        token=rollout.token,
        detail={"digest": hold.digest},
    )


def require_free(holds: Sequence[DigestHold], target: str, release: str) -> None:
    """GateClosed with what to do, if any of `holds` (of this environment and of those before it) is there."""
    if not holds:
        return
    first = holds[0]
    raise GateClosed(
        f"{release} gets no traffic in {target}: it went back in {first.environment} on "
        f"{first.at:%Y-%m-%d %H:%M} UTC ({first.why}) and is on hold. Promote another release, or let a "
        f"person who knows the cause release it: ops release-digest {first.service} {release} --why '...'"
    )
