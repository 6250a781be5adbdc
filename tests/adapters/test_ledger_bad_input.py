"""The controller on a ledger that takes no writes, and beside a controller of another version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from fakes import World, WorldMigrations
from psycopg import sql
from psycopg.types.json import Jsonb
from rollout_scenes import PLAN, V1, V2, request

from platform_ops.adapters.clock import SystemClock
from platform_ops.adapters.ledger import Ledger
from platform_ops.controller.rollouts import NoCrashPoints, Ports, RolloutController
from platform_ops.core.errors import PermanentError, Unavailable
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
async def now(ledger_dsn: str) -> AsyncIterator[Ledger]:
    async with Ledger.connect(ledger_dsn, SystemClock()) as opened:
        yield opened


def controller(world: World, ledger: Ledger) -> RolloutController:
    clock, migrations = SystemClock(), WorldMigrations(world)
    return RolloutController(
        Ports(world, world, world, world, ledger, clock, NoCrashPoints(), world, migrations)
    )


async def opened(world: World, ledger: Ledger, environment: str = "production") -> str:
    asked = request(V2, SHORT, run_id=f"run-{environment}")
    target = replace(asked.target, environment=environment)
    return await controller(world, ledger).open(replace(asked, promotion_id=None, target=target))


def shifts(world: World) -> list[str]:
    return [effect for effect in world.effects if effect.startswith("shift")]


class Takes:
    """Whether the ledger's database takes writes, as after a failover to a replica."""

    def __init__(self, owner_dsn: str, database: str) -> None:
        self._dsn, self._database = owner_dsn, database

    def nothing(self) -> None:
        self._set("ALTER DATABASE {} SET default_transaction_read_only TO on")

    def writes(self) -> None:
        self._set("ALTER DATABASE {} RESET default_transaction_read_only")

    def _set(self, statement: str) -> None:
        """For those who are connected, too: they come again."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only TO off")
            connection.execute(sql.SQL(statement).format(sql.Identifier(self._database)))
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> pg_backend_pid()",
                (self._database,),
            )


@pytest.fixture
def takes(owner_dsn: str, ledger_database: str) -> Takes:
    return Takes(owner_dsn, ledger_database)


async def test_a_ledger_that_takes_no_writes_says_where_to_point(
    now: Ledger, takes: Takes, world: World
) -> None:
    rollout_id = await opened(world, now)
    takes.nothing()
    assert (await now.rollouts.get(rollout_id)).phase is Phase.PENDING
    with pytest.raises(Unavailable, match=r"read-only.*point PLATFORM_OPS_LEDGER_DSN at the primary"):
        await now.rollouts.raise_goal(rollout_id, Phase.PROMOTED)


async def test_a_ledger_that_takes_no_writes_in_mid_shift_moves_nothing_and_loses_nothing(
    world: World, now: Ledger, takes: Takes, caplog: pytest.LogCaptureFixture
) -> None:
    def at_a_quarter() -> None:
        if world.effects[-1] == "shift blue 75 green 25":
            takes.nothing()

    world.after_effect = at_a_quarter
    rollout_id = await opened(world, now)
    of = controller(world, now)
    driving = asyncio.create_task(of.drive(rollout_id, goal=Phase.PROMOTED, holder="one"))
    async with asyncio.timeout(60):
        while caplog.text.count("point PLATFORM_OPS_LEDGER_DSN at the primary") < 3:
            await asyncio.sleep(0.05)
    assert not driving.done()
    assert world.weights == Weights(75, 25)
    assert len(shifts(world)) == 2
    takes.writes()
    assert (await driving).phase is Phase.PROMOTED
    assert len(shifts(world)) == 4
    entries = await now.journal.of_rollout(rollout_id)
    for what, kind in (("Shift", "intent"), ("Confirm", "done")):
        written = [e.detail["weights"]["green"] for e in entries if (e.what, e.kind) == (what, kind)]
        assert written == [5, 25, 50, 100]


class Newer:
    """What a controller of a later version writes into the rows that both use."""

    def __init__(self, owner_dsn: str) -> None:
        self._dsn = owner_dsn

    def adds_fields(self, rollout_id: str) -> None:
        more = {"a_later_field": {"of": ["a", "later"]}}
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            (plan,) = connection.execute(
                "SELECT plan FROM ledger.rollouts WHERE id = %s", (rollout_id,)
            ).fetchone() or ({},)
            for listed in ("steps", "checks", "triggers"):
                plan[listed] = [{**one, **more} for one in plan[listed]]
            connection.execute(
                "UPDATE ledger.rollouts SET plan = %s, target = target || %s, release = release || %s,"
                " hold = hold || %s, checked = checked || %s WHERE id = %s",
                (Jsonb({**plan, **more}), *(Jsonb(more) for _ in range(4)), rollout_id),
            )

    def writes(self, rollout_id: str, **columns: Any) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for name, value in columns.items():
                connection.execute(
                    sql.SQL("UPDATE ledger.rollouts SET {} = %s WHERE id = %s").format(sql.Identifier(name)),
                    (value, rollout_id),
                )


@pytest.fixture
def newer(owner_dsn: str) -> Newer:
    return Newer(owner_dsn)


async def test_fields_that_a_newer_controller_added_do_not_stop_this_one(
    world: World, now: Ledger, newer: Newer
) -> None:
    rollout_id = await opened(world, now)
    of = controller(world, now)
    await of.drive(rollout_id, goal=Phase.SHIFTING, holder="this version")
    await of.hold(rollout_id, by="devops", why="look at it")
    before = await now.rollouts.get(rollout_id)
    newer.adds_fields(rollout_id)
    assert await now.rollouts.get(rollout_id) == before
    await of.resume(rollout_id, by="devops", why="go on")
    assert (await of.drive(rollout_id, goal=Phase.PROMOTED, holder="this version")).phase is Phase.PROMOTED
    assert len(shifts(world)) == 4


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"phase": "Analysing"}, id="phase"),
        pytest.param({"goal": "Analysing"}, id="goal"),
        pytest.param({"plan": Jsonb({"canaries": 3})}, id="plan"),
    ],
)
async def test_a_row_that_only_a_newer_controller_understands_is_left_to_it_and_no_other_waits(
    world: World, now: Ledger, newer: Newer, columns: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    theirs, ours = await opened(world, now, "staging"), await opened(world, now)
    newer.writes(theirs, **columns)
    await now.rollouts.raise_goal(ours, Phase.PROMOTED)
    of, stop = controller(world, now), asyncio.Event()
    standby = asyncio.create_task(of.standby("this version", stop))
    async with asyncio.timeout(60):
        while (await now.rollouts.get(ours)).phase is not Phase.PROMOTED:
            assert not standby.done()
            await asyncio.sleep(0.05)
    stop.set()
    await standby
    assert "was written by another version of platform-ops, which goes on with it" in caplog.text
    with pytest.raises(PermanentError, match=r"llm-service/staging .* update this one"):
        await of.drive(theirs, goal=Phase.PROMOTED, holder="this version")
    assert {e.actor for e in await now.journal.of_rollout(theirs)} == {"developer"}
