"""Follow-ups of hotfixes with a real ledger: open until every branch holds the commit, or it did not stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import MIDNIGHT, ManualClock, World, WorldMigrations
from fakes_outside import FakeCommit, MemoryRepository
from rollout_scenes import PLAN, V1, V2, release, request

from platform_ops.adapters.follow_ups import LOOK_EVERY, FollowUps
from platform_ops.adapters.ledger import Ledger
from platform_ops.controller.rollouts import NoCrashPoints, Ports, RolloutController
from platform_ops.core.hotfix import Hotfix, hotfix_dag
from platform_ops.core.records import Promotion
from platform_ops.core.release import Colour
from platform_ops.core.state import Phase

BASE, FIX = FakeCommit("b" * 40, "a@example.com", {}), FakeCommit(release(V2).commit, "b@example.com", {})
LATER = FakeCommit("e" * 40, "a@example.com", {})
BRANCHES = ("main", "staging", "development")


@pytest.fixture
def clock(ledger: Ledger) -> ManualClock:
    made: ManualClock = ledger.promotions._clock
    return made


@pytest.fixture
def source() -> MemoryRepository:
    return MemoryRepository({"hotfix/login": [BASE, FIX], **{name: [BASE] for name in BRANCHES}})


@pytest.fixture
def follow_ups(ledger: Ledger, source: MemoryRepository, clock: ManualClock) -> FollowUps:
    return FollowUps(ledger, source, clock, lambda service: BRANCHES)


@pytest.fixture
async def promotion(ledger: Ledger) -> Promotion:
    of = release(V2)
    return await ledger.promotions.open(
        dag_id=hotfix_dag("llm-service"), run_id="hotfix-1", service="llm-service", environment="production",
        commit=of.commit, version=of.version, digest=V2, requested_by="oncall", url="",
    )  # fmt: skip


@pytest.fixture
async def hotfix(ledger: Ledger, promotion: Promotion) -> Hotfix:
    return await ledger.hotfixes.open(promotion, why="login is broken", incident="INC-7", branches=BRANCHES)


async def ends(ledger: Ledger, promotion: Promotion, phase: Phase) -> None:
    """The hotfix's rollout comes to that phase."""
    clock = ledger.promotions._clock
    world = World(clock)
    world.serve(Colour.BLUE, V1)
    migrations = WorldMigrations(world)
    controller = RolloutController(
        Ports(world, world, world, world, ledger, clock, NoCrashPoints(), world, migrations)
    )
    asked = replace(
        request(V2, PLAN), dag_id=promotion.dag_id, run_id=promotion.run_id, promotion_id=promotion.id
    )
    rollout_id = await controller.open(asked)
    held = await ledger.rollouts.claim(rollout_id, "one", clock.now(), clock.now() + LOOK_EVERY)
    await ledger.rollouts.save(replace(held, phase=phase, reason="errors"))


async def now(ledger: Ledger, hotfix: Hotfix) -> Hotfix:
    found = await ledger.hotfixes.of_promotion(hotfix.promotion_id)
    assert found is not None
    return found


async def test_a_hotfix_is_opened_once_and_read_as_it_was_written(
    ledger: Ledger, promotion: Promotion, hotfix: Hotfix
) -> None:
    again = await ledger.hotfixes.open(promotion, why="other words", incident="", branches=())
    assert (
        again
        == hotfix
        == Hotfix(
            promotion.id, "llm-service", FIX.id, "1.2.0", "login is broken", "INC-7", BRANCHES, MIDNIGHT
        )
    )
    assert await ledger.hotfixes.unmerged() == (hotfix,)
    assert await ledger.hotfixes.unmerged("fm-llm-solver") == ()


async def test_it_closes_by_itself_when_every_branch_holds_the_commit(
    ledger: Ledger, promotion: Promotion, hotfix: Hotfix, follow_ups: FollowUps, source: MemoryRepository,
    clock: ManualClock,
) -> None:  # fmt: skip
    await ends(ledger, promotion, Phase.PROMOTED)
    source.branches["main"] = [BASE, FIX]
    await follow_ups.look()
    assert (await now(ledger, hotfix)).missing == ("staging", "development")
    for branch in ("staging", "development"):
        source.branches[branch] = [BASE, FIX, LATER]
    await follow_ups.look()
    assert (await now(ledger, hotfix)).closed_at is None, "it does not ask the repository all the time"
    clock.advance(LOOK_EVERY)
    await follow_ups.look()
    closed = await now(ledger, hotfix)
    assert (closed.closed_at, closed.closed_because) == (clock.now(), "every branch holds it")
    assert await ledger.hotfixes.unmerged() == ()


@pytest.mark.parametrize(
    ("outcome", "phase", "because"),
    [
        pytest.param("running", None, "", id="on-its-way"),
        pytest.param("running", Phase.SHIFTING, "", id="in-mid-shift"),
        pytest.param("failed", None, "it never got to a rollout", id="never-opened"),
        pytest.param("failed", Phase.ROLLED_BACK, "it went back: errors", id="went-back"),
        pytest.param("failed", Phase.PROMOTED, "", id="live-although-a-later-task-failed"),
    ],
)
async def test_a_hotfix_that_did_not_stay_is_not_followed_up(
    ledger: Ledger, promotion: Promotion, hotfix: Hotfix, follow_ups: FollowUps,
    outcome: str, phase: Phase | None, because: str,
) -> None:  # fmt: skip
    if phase is not None:
        await ends(ledger, promotion, phase)
    if outcome != "running":
        await ledger.promotions.finish(promotion.id, outcome)
    await follow_ups.look()
    assert (await now(ledger, hotfix)).closed_because == because


async def test_a_branch_that_does_not_exist_has_nothing_to_take_in(
    follow_ups: FollowUps, source: MemoryRepository
) -> None:
    del source.branches["staging"]
    assert await follow_ups.missing("llm-service", FIX.id) == ("main", "development")


async def test_only_a_live_hotfix_holds_back_a_release_without_it(
    ledger: Ledger, promotion: Promotion, hotfix: Hotfix, follow_ups: FollowUps, source: MemoryRepository
) -> None:
    source.branches["development"] = [BASE, LATER]
    assert await follow_ups.lacking("llm-service", LATER.id) == ()
    await ends(ledger, promotion, Phase.PROMOTED)
    assert [one.commit for one in await follow_ups.lacking("llm-service", LATER.id)] == [FIX.id]
    assert await follow_ups.lacking("llm-service", FIX.id) == ()
