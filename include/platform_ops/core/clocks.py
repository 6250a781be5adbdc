"""A clock that was set back: what the ledger says lies in its future, and no step can be judged by it.

One that was set ahead needs no rule: the metrics hold nothing of a time that has not come.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from .state import Act, Observed, Phase, Transition

APART = timedelta(minutes=1)
"""Clocks of two holders may differ so much: a step only lasts so much longer, and so does a dead one's
lease."""


def clock_behind(observed: Observed, now: datetime) -> Transition | None:
    """Hold a step that would last as much longer as the clock is behind, without anybody watching it."""
    rollout = observed.rollout
    if not rollout.moved or rollout.phase not in (Phase.SHIFTING, Phase.BAKING):
        return None
    written = (rollout.moved_at, rollout.entered_at, rollout.shifted_at, rollout.since)
    latest = max(at for at in written if at is not None)
    if latest <= now + APART:
        return None
    why = (
        f"this controller's clock says {now:%Y-%m-%d %H:%M:%S} UTC, but the ledger holds "
        f"{latest:%Y-%m-%d %H:%M:%S}: the step cannot be judged. Set the clock right"
    )
    return Transition(Act.HOLD, why, rollout.phase, rollout.step)
