"""The controller with the real ledger and the real clock: leases, journal and an outage of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import World, WorldMigrations, seconds
from postgres_server import PostgresServer
from rollout_scenes import PLAN, V1, V2, request

from platform_ops.adapters.clock import SystemClock
from platform_ops.adapters.ledger import Ledger
from platform_ops.controller.rollouts import NoCrashPoints, Ports, RolloutController
from platform_ops.core.errors import Held
from platform_ops.core.plan import Plan, Step
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Phase

AT_ONCE = timedelta()
SHORT: Plan = replace(
    PLAN, steps=tuple(Step(s.weight, AT_ONCE) for s in PLAN.steps), bake=AT_ONCE, triggers=()
)


@pytest.fixture
def world() -> World:
    made = World(SystemClock())
    made.serve(Colour.BLUE, V1)
    made.behave(V2, ready_after=AT_ONCE)
    made.approved.add(V2)
    return made


@pytest.fixture
async def ledger_now(ledger_dsn: str) -> AsyncIterator[Ledger]:
    async with Ledger.connect(ledger_dsn, SystemClock()) as opened:
        yield opened


def controller(world: World, ledger: Ledger) -> RolloutController:
    return RolloutController(
        Ports(
            world,
            world,
            world,
            world,
            ledger,
            SystemClock(),
            NoCrashPoints(),
            world,
            WorldMigrations(world),
        )
    )


async def opened(world: World, ledger: Ledger) -> str:
    """A rollout that no promotion stands behind."""
    return await controller(world, ledger).open(replace(request(V2, SHORT), promotion_id=None))


async def test_a_rollout_goes_through_and_its_journal_is_in_order(world: World, ledger_now: Ledger) -> None:
    rollout_id = await opened(world, ledger_now)
    view = await controller(world, ledger_now).drive(rollout_id, goal=Phase.PROMOTED, holder="one")
    assert view.phase is Phase.PROMOTED
    assert world.weights == Weights(0, 100)
    entries = await ledger_now.journal.of_rollout(rollout_id)
    assert [e.number for e in entries] == sorted(e.number for e in entries)
    shifts = [(e.kind, e.detail["weights"]["green"]) for e in entries if e.what == "Shift"]
    assert shifts == [(kind, weight) for weight in (5, 25, 50, 100) for kind in ("intent", "done")]


async def test_two_holders_in_two_processes_do_everything_once(world: World, ledger_dsn: str) -> None:
    async with (
        Ledger.connect(ledger_dsn, SystemClock()) as one,
        Ledger.connect(ledger_dsn, SystemClock()) as two,
    ):
        rollout_id = await opened(world, one)
        views = await asyncio.gather(
            controller(world, one).drive(rollout_id, goal=Phase.PROMOTED, holder="one"),
            controller(world, two).drive(rollout_id, goal=Phase.PROMOTED, holder="two"),
        )
    assert [view.phase for view in views] == [Phase.PROMOTED, Phase.PROMOTED]
    assert len([effect for effect in world.effects if effect.startswith("shift")]) == 4


async def test_of_twenty_that_open_at_once_one_is_active_and_the_others_are_told_who_holds(
    world: World, ledger_dsn: str
) -> None:
    """Five processes, each with four promotions of releases of its own."""
    async with AsyncExitStack() as stack:
        ledgers = [
            await stack.enter_async_context(Ledger.connect(ledger_dsn, SystemClock())) for _ in range(5)
        ]
        asked = [
            replace(request(V2, SHORT, run_id=f"run-{number}"), promotion_id=None) for number in range(20)
        ]
        outcomes = await asyncio.gather(
            *(controller(world, ledgers[number % 5]).open(one) for number, one in enumerate(asked)),
            return_exceptions=True,
        )
        won = [run for run, outcome in zip(asked, outcomes, strict=True) if isinstance(outcome, str)]
        told = [str(outcome) for outcome in outcomes if isinstance(outcome, Held)]
        active = await ledgers[0].rollouts.active("llm-service", "production")
    assert (len(won), len(told)) == (1, 19)
    assert active is not None
    assert active.run_id == won[0].run_id
    assert all(f"asked for by developer in {won[0].run_id}, held by nobody yet" in text for text in told)


async def test_of_twenty_that_ask_at_once_each_sees_what_the_one_before_started(ledger_dsn: str) -> None:
    started: list[int] = []

    async def ask(ledger: Ledger, number: int) -> bool:
        async with ledger.promotions.asking("llm-service", "production"):
            if started:
                return False
            await asyncio.sleep(0.05)  # as long as Airflow takes to start the run
            started.append(number)
            return True

    async with AsyncExitStack() as stack:
        ledgers = [
            await stack.enter_async_context(Ledger.connect(ledger_dsn, SystemClock())) for _ in range(5)
        ]
        won = await asyncio.gather(*(ask(ledgers[number % 5], number) for number in range(20)))
    assert sum(won) == 1


async def test_the_work_goes_on_by_itself_when_postgresql_is_back_and_does_nothing_twice(
    world: World, ledger_now: Ledger, postgres: PostgresServer
) -> None:
    quarter = _when(world, "shift blue 75 green 25")
    rollout_id = await opened(world, ledger_now)
    driving = asyncio.create_task(
        controller(world, ledger_now).drive(rollout_id, goal=Phase.PROMOTED, holder="one")
    )
    await quarter.wait()
    await asyncio.to_thread(postgres.stop)
    await asyncio.to_thread(postgres.start)
    view = await driving
    assert view.phase is Phase.PROMOTED
    assert len([effect for effect in world.effects if effect.startswith("shift")]) == 4


async def test_a_rollback_of_a_promoted_release_is_done_within_seconds(
    world: World, ledger_now: Ledger
) -> None:
    of = controller(world, ledger_now)
    rollout_id = await opened(world, ledger_now)
    await of.drive(rollout_id, goal=Phase.PROMOTED, holder="one")
    await of.request_rollback(rollout_id, by="oncall", why="wrong results")
    view = await of.drive(rollout_id, goal=Phase.ROLLED_BACK, holder="rollback")
    assert (view.phase, view.reason) == (Phase.ROLLED_BACK, "oncall: wrong results")
    entries = await ledger_now.journal.of_rollout(rollout_id)
    asked = next(e.at for e in entries if e.what == "RequestRollback")
    assert entries[-1].at - asked < seconds(10)


def _when(world: World, effect: str) -> asyncio.Event:
    """Set when the world has done `effect`."""
    done = asyncio.Event()
    before: Callable[[], None] = world.after_effect

    def look() -> None:
        before()
        if world.effects[-1] == effect:
            done.set()

    world.after_effect = look
    return done
