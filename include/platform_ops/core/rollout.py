"""`decide`: what to do next with a rollout, from what was observed. Pure; the rules stand in `forward` and `backward`."""

from __future__ import annotations

from .plan import Step
from .state import Phase

__all__ = ["Phase", "Step"]
