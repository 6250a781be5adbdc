"""A hotfix needs the place of a promotion on its way: it goes back, but never in the middle of a shift."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes import CrashAt, Killed, seconds
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_scenes import V2, V3, Scene, quick, request

from platform_ops.core.errors import GateClosed, Held
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Hold, Phase

HOTFIX = ("hotfix_llm-service", "hotfix-1")
WHY = "hotfix 1.3.1 goes first"
LENGTH = 80
"""Seconds within which the rollout of these tests is promoted."""
OLD, NEW = Weights(100, 0), Weights(0, 100)


def a_scene(lag: float = 0) -> Scene:
    scene = Scene().with_v1()
    scene.world.rate, scene.world.gateway_lag = 1000.0, seconds(lag)
    return scene


def pre_empts(scene: Scene) -> Callable[[], None]:
    """A process of its own asks; the rollout's may die."""

    async def ask() -> None:
        await scene.controller().pre_empt("llm-service", "production", by=HOTFIX, why=WHY)

    def begin() -> None:
        scene.asked = asyncio.ensure_future(ask())

    return begin


def assert_between_steps(entries: list[Entry]) -> None:
    """Between a shift and its confirmation nothing turned back, and none was intended after the wish. Only of
    an intent whose holder died before the patch nothing is left to finish."""
    under_way, asked = "", False
    for entry in entries:
        forward = entry.detail.get("phase") in ("Shifting", "Baking")
        if (entry.kind, entry.what) == ("intent", "Shift") and forward:
            assert not asked, "a shift began after the hotfix had asked"
            under_way = entry.actor
        if (entry.kind, entry.what) == ("done", "Confirm"):
            under_way = ""
        if entry.what == "PreEmpt":
            asked = True
        if entry.what == "BeginRollback":
            assert under_way != entry.actor, "it turned back in the middle of a shift"


@pytest.mark.parametrize("lag", [0, 4], ids=["at-once", "slow-gateway"])
async def test_whenever_it_asks_a_shift_is_finished_first_and_none_begins(lag: float) -> None:
    ends = []
    for second in range(1, LENGTH, 3):
        scene = a_scene(lag)
        scene.clock.at(seconds(second), pre_empts(scene))
        view = await scene.roll_out(plan=quick())
        assert_between_steps(scene.ledger.journal_table.entries)
        assert scene.world.weights == (OLD if view.phase is Phase.ROLLED_BACK else NEW), second
        ends.append(view.phase)
    assert ends == sorted(ends, key=[Phase.ROLLED_BACK, Phase.PROMOTED].index)
    assert set(ends) == {Phase.ROLLED_BACK, Phase.PROMOTED}


async def test_the_one_that_went_back_says_who_needed_the_place() -> None:
    scene = a_scene()
    scene.clock.at(seconds(20), pre_empts(scene))
    view = await scene.roll_out(plan=quick())
    assert (view.phase, view.reason) == (
        Phase.ROLLED_BACK,
        "hotfix_llm-service (hotfix-1): hotfix 1.3.1 goes first",
    )


@pytest.mark.parametrize("second", [7, 20], ids=["first-shift", "second-step"])
async def test_whoever_goes_on_after_a_death_goes_back_all_the_same(second: int) -> None:
    scene, process = a_scene(lag=3), CrashAt()
    scene.clock.at(seconds(second), pre_empts(scene))
    await scene.roll_out(plan=quick(), process=process)
    assert len(process.reached) >= 6
    for number, label in enumerate(process.reached, start=1):
        scene = a_scene(lag=3)
        scene.clock.at(seconds(second), pre_empts(scene))
        with pytest.raises(Killed):
            await scene.roll_out(plan=quick(), process=CrashAt(number), holder="the one that dies")
        view = await scene.roll_out(plan=quick(), holder="the next one")
        assert_between_steps(scene.ledger.journal_table.entries)
        assert (view.phase, scene.world.weights) == (Phase.ROLLED_BACK, OLD), label
        assert Colour.GREEN not in scene.world.deployments, label


@settings(max_examples=25, deadline=None)
@given(
    second=st.integers(0, LENGTH),
    lag=st.sampled_from([0, 2, 5]),
    number=st.integers(1, 30),
    errors_at=st.none() | st.integers(5, LENGTH),
)
def test_weights_always_sum_up_and_the_hotfix_gets_its_place(
    second: int, lag: int, number: int, errors_at: int | None
) -> None:
    """Whatever else goes wrong: a bad release, a holder that dies. Afterwards the hotfix opens."""

    async def live() -> None:
        scene = a_scene(lag)
        scene.world.after_effect = lambda: _assert_routed(scene)
        scene.clock.at(seconds(second), pre_empts(scene))
        if errors_at is not None:
            scene.clock.at(seconds(errors_at), lambda: scene.world.behave(V2, error_share=1.0))
        try:
            await scene.roll_out(plan=quick(), process=CrashAt(number), holder="one")
        except Killed:
            await scene.roll_out(plan=quick(), holder="two")
        place = await scene.controller().pre_empt("llm-service", "production", by=HOTFIX, why=WHY)
        assert place is None
        fix = replace(request(V3, quick()), dag_id=HOTFIX[0], run_id=HOTFIX[1])
        assert await scene.controller().open(fix)

    asyncio.run(live())


def _assert_routed(scene: Scene) -> None:
    assert scene.world.weights.routed


async def test_nothing_is_in_the_way_of_a_warm_window_or_of_nothing() -> None:
    scene = a_scene()
    assert await scene.controller().pre_empt("llm-service", "production", by=HOTFIX, why=WHY) is None
    await scene.roll_out(plan=quick())
    assert await scene.controller().pre_empt("llm-service", "production", by=HOTFIX, why=WHY) is None
    assert scene.row().wish is None


async def test_a_hotfix_does_not_pre_empt_another_one() -> None:
    scene = a_scene()
    fix = replace(request(V2, quick()), dag_id=HOTFIX[0], run_id="hotfix-0")
    await scene.controller().open(fix)
    with pytest.raises(Held, match="hotfix-0"):
        await scene.controller().pre_empt("llm-service", "production", by=HOTFIX, why=WHY)


async def test_nobody_goes_over_a_rollout_that_needs_attention() -> None:
    scene = a_scene()
    rollout_id = await scene.controller().open(request(V2, quick()))
    rows = scene.ledger.rollout_table._rows
    rows[rollout_id] = replace(rows[rollout_id], phase=Phase.NEEDS_ATTENTION, reason="both colours are bad")
    with pytest.raises(GateClosed, match=r"both colours are bad.*ops rollback llm-service production"):
        await scene.controller().pre_empt("llm-service", "production", by=HOTFIX, why=WHY)


async def test_a_promotion_that_a_person_holds_goes_back_too() -> None:
    scene = a_scene()

    def hold() -> None:
        row = scene.row()
        held = replace(row, hold=Hold("oncall", "let me look", scene.clock.now()))
        scene.ledger.rollout_table._rows[row.id] = held

    scene.clock.at(seconds(14), hold)
    scene.clock.at(seconds(20), pre_empts(scene))
    view = await scene.roll_out(plan=quick())
    assert view.phase is Phase.ROLLED_BACK
    assert view.reason.startswith("hotfix_llm-service")
