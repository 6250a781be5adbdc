"""A rollout as a row, and back. Controllers of two versions read each other's rows: what a newer one added is
left out; a row that cannot be understood without it is left to the newer one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from platform_ops.core.errors import PermanentError
from platform_ops.core.plan import Plan, known
from platform_ops.core.release import Colour, Release, Router, Target, Weights
from platform_ops.core.state import CheckReport, Hold, Phase, Rollout, Wish

from .database import Row

log = logging.getLogger(__name__)

_SAME = (
    "id",
    "dag_id",
    "run_id",
    "promotion_id",
    "previous_digest",
    "requested_by",
    "log_url",
    "created_at",
    "step",
    "moved_at",
    "entered_at",
    "shifted_at",
    "since",
    "reason",
    "holder",
    "token",
    "lease_until",
)
"""Fields that are columns of the same name and type."""


def as_row(rollout: Rollout) -> Row:
    row: Row = {name: getattr(rollout, name) for name in _SAME}
    return row | {
        "service": rollout.target.service,
        "environment": rollout.target.environment,
        "target": Jsonb(asdict(rollout.target)),
        "release": Jsonb(asdict(rollout.release)),
        "colour": rollout.colour.value,
        "plan": Jsonb(rollout.plan.to_json()),
        "goal": rollout.goal.value,
        "phase": rollout.phase.value,
        "weight_blue": rollout.weights.blue,
        "weight_green": rollout.weights.green,
        "checked": optional_json(rollout.checked),
        "baseline": optional_json(rollout.baseline),
        "hold": optional_json(rollout.hold),
        "wish": optional_json(rollout.wish),
    }


def readable(rows: Iterable[Row]) -> tuple[Rollout, ...]:
    """Those that this version understands: one that it does not must not keep it from the others."""
    found = []
    for row in rows:
        try:
            found.append(from_row(row))
        except PermanentError as newer:
            log.warning("%s", newer)
    return tuple(found)


def from_row(row: Row) -> Rollout:
    """PermanentError for what another version wrote and this one cannot read."""
    try:
        return _rollout(row)
    except (KeyError, TypeError, ValueError) as unknown:
        raise PermanentError(
            f"rollout {row['id']} of {row['service']}/{row['environment']} was written by another version "
            f"of platform-ops, which goes on with it ({unknown}): update this one"
        ) from unknown


def _rollout(row: Row) -> Rollout:
    same = {name: row[name] for name in _SAME}
    same["id"] = str(row["id"])
    same["promotion_id"] = str(row["promotion_id"]) if row["promotion_id"] else None
    return Rollout(
        **same,
        target=_target(row["target"]),
        release=Release(**known(Release, row["release"])),
        colour=Colour(row["colour"]),
        plan=Plan.from_json(row["plan"]),
        goal=Phase(row["goal"]),
        phase=Phase(row["phase"]),
        weights=Weights(row["weight_blue"], row["weight_green"]),
        checked=_report(row["checked"]),
        baseline=_report(row["baseline"]),
        hold=Hold(**known(Hold, _timed(row["hold"]))) if row["hold"] else None,
        wish=Wish(**known(Wish, _timed(row["wish"]))) if row["wish"] else None,
    )


def _target(stored: Row) -> Target:
    """A row of before there were two routers says nothing about it."""
    router = Router(stored.get("router", Router.HTTP_ROUTE))
    return Target(**{**known(Target, stored), "router": router})


def optional_json(value: Hold | Wish | CheckReport | None) -> Jsonb | None:
    if value is None:
        return None
    stored = {**asdict(value), "at": value.at.isoformat()}
    if not stored.get("between_steps", True):
        del stored["between_steps"]  # a controller of the version before knows no such field
    return Jsonb(stored)


def _timed(stored: Row) -> dict[str, Any]:
    return {**stored, "at": datetime.fromisoformat(stored["at"])}


def _report(stored: Row | None) -> CheckReport | None:
    if stored is None:
        return None
    fields = _timed(stored)
    return CheckReport(Colour(fields["colour"]), fields["ran"], tuple(fields["failures"]), fields["at"])
