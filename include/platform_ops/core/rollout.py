"""Rollout phases and the plan a rollout follows. `decide()` is added by its own module's rules below."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


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
    """The old colour has all traffic, seen in real responses, and passed its checks; the new one is removed."""
    NEEDS_ATTENTION = "NeedsAttention"
    """Both colours are bad: traffic stays put and people are paged."""

    @property
    def terminal(self) -> bool:
        return self in (Phase.RECLAIMED, Phase.ROLLED_BACK)


@dataclass(frozen=True)
class Step:
    weight: int
    """Percent of traffic on the new colour."""
    hold: timedelta
    """How long the step is watched before the next."""
