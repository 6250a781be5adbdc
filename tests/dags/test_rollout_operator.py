"""The operator and its trigger with a real ledger, without Airflow's database: when they wait, for what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import MIDNIGHT
from hand_scenes import ROLLOUT
from own_airflow import OwnAirflow

from platform_ops.adapters.clock import SystemClock
from platform_ops.adapters.ledger import Ledger
from platform_ops.controller.driving import entry_of
from platform_ops.core.release import Weights
from platform_ops.core.state import Hold, Phase, Rollout, Wish

RUN = "run-2"
CONTEXT = {
    "dag_run": SimpleNamespace(dag_id=ROLLOUT.dag_id, run_id=RUN, triggering_user_name="developer"),
    "params": {},
    "ti": SimpleNamespace(log_url="http://airflow.example.com/log"),
}
Stand = Callable[..., Rollout]


@pytest.fixture
def stand(airflow_settings: OwnAirflow, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """The run's rollout as it stands in the ledger: nobody but the ledger is there to be asked."""
    monkeypatch.setenv("PLATFORM_OPS_LEDGER_DSN", ledger_dsn)

    async def write(**how: Any) -> Rollout:
        of = ROLLOUT.release
        async with Ledger.connect(ledger_dsn, SystemClock()) as ledger:
            promotion = await ledger.promotions.open(
                dag_id=ROLLOUT.dag_id, run_id=RUN, service=of.service, environment="production",
                commit=of.commit, version=of.version, digest=of.digest, requested_by="developer", url="",
            )  # fmt: skip
            rollout = replace(
                ROLLOUT,
                id="00000000-0000-4000-8000-000000000001",
                run_id=RUN,
                promotion_id=promotion.id,
                **how,
            )
            await ledger.rollouts.insert(
                rollout, entry_of(rollout, MIDNIGHT, "developer", "note", "Open", "")
            )
            return rollout

    return lambda **how: asyncio.run(write(**how))


def execute(until: Phase) -> None:
    from platform_ops.orchestration.rollout import RolloutOperator

    task = RolloutOperator(task_id="roll_out", service="llm-service", environment="production", until=until)
    task.execute(CONTEXT)


@pytest.mark.parametrize(
    ("phase", "until"),
    [(Phase.VERIFYING, Phase.VERIFYING), (Phase.WARM, Phase.PROMOTED), (Phase.RECLAIMED, Phase.SHIFTING)],
)
def test_a_phase_that_is_reached_already_is_not_waited_for(stand: Stand, phase: Phase, until: Phase) -> None:
    stand(phase=phase, goal=phase)
    execute(until)


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.NEEDS_ATTENTION])
def test_a_rollout_that_ended_badly_fails_the_task_at_once_with_its_reason(
    stand: Stand, phase: Phase
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    stand(phase=phase, reason="error-rate: 30 of 400 requests failed")
    with pytest.raises(AirflowFailException, match=f"{phase.value}: error-rate: 30 of 400 requests failed"):
        execute(Phase.PROMOTED)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"phase": Phase.VERIFYING}, id="on-its-way"),
        pytest.param({"phase": Phase.WARM, "wish": Wish("oncall", "wrong", MIDNIGHT)}, id="asked-to-go-back"),
    ],
)
def test_what_is_not_there_yet_is_waited_for_in_the_triggerer(stand: Stand, how: dict[str, Any]) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    from platform_ops.orchestration.rollout import RolloutTrigger

    rollout = stand(**how)
    with pytest.raises(TaskDeferred) as deferred:
        execute(Phase.PROMOTED)
    trigger = deferred.value.trigger
    assert isinstance(trigger, RolloutTrigger)
    assert (trigger.rollout_id, trigger.until) == (rollout.id, "Promoted")


def test_a_task_that_runs_again_lifts_the_hold_of_the_try_before(stand: Stand, ledger_dsn: str) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    rollout = stand(phase=Phase.SHIFTING, weights=Weights(95, 5), hold=Hold("a person", "cleared", MIDNIGHT))
    with pytest.raises(TaskDeferred):
        execute(Phase.PROMOTED)

    async def now() -> Rollout:
        async with Ledger.connect(ledger_dsn, SystemClock()) as ledger:
            return await ledger.rollouts.get(rollout.id)

    assert asyncio.run(now()).hold is None


@pytest.mark.parametrize("parked", [timedelta(), timedelta(hours=1)], ids=["not-at-all", "an-hour"])
def test_a_task_is_not_resumed_before_it_may_be(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, parked: timedelta
) -> None:
    """The rollout is there at once; the event comes when the scheduler has heard of the parking."""
    from platform_ops.orchestration import rollout as orchestration

    made = stand(phase=Phase.WARM, goal=Phase.WARM)
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float, *rest: Any) -> Any:
        slept.append(seconds)
        return await sleep(min(seconds, 0.01), *rest)

    monkeypatch.setattr(orchestration, "PARKED", parked)
    monkeypatch.setattr(asyncio, "sleep", note)

    async def first() -> dict[str, str]:
        trigger = orchestration.RolloutTrigger(rollout_id=made.id, until=Phase.PROMOTED.value)
        event = await anext(trigger.run())
        return dict(event.payload)

    assert asyncio.run(first()) == {"phase": "Warm", "reason": ""}
    assert (max(slept) > 3000) is bool(parked)
