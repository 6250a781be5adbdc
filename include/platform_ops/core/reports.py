"""The red run by which Airflow hears of a rollback that the controller decided after the promotion's run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .state import Phase, Rollout


@dataclass(frozen=True)
class Report:
    """A run to be started: once a rollout, whoever asks and however often."""

    rollout_id: str
    dag_id: str
    run_id: str
    asked_at: datetime
    started_at: datetime | None = None
    """When Airflow had taken it; None: not yet."""
    attempts: int = 0
    last_error: str = ""


def needs_report(rollout: Rollout) -> bool:
    """Whether it went back, or could not, in the warm window and without a person's wish: the promotion's
    run was over by then and stays green, so nobody sees it in Airflow."""
    ended = rollout.phase in (Phase.ROLLED_BACK, Phase.NEEDS_ATTENTION)
    return ended and rollout.goal.reached(Phase.WARM) and rollout.wish is None


def report_of(rollout: Rollout, now: datetime) -> Report:
    target = rollout.target
    dag_id = f"rollback_{target.service}_{target.environment}"
    return Report(rollout.id, dag_id, f"controller__{rollout.id}", now)
