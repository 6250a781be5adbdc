"""What the standby does about changes by hand, with the real controller on a behaving world."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import _Deployment, seconds
from hand_scenes import HandScene
from rollout_scenes import TARGET, V1, V2, V3, Scene, quick

from platform_ops.core.drift import Deed, Outcome, Subject
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Phase

BLUE, GREEN = Colour.BLUE, Colour.GREEN


@pytest.fixture
def at() -> HandScene:
    return HandScene(Scene().with_v1())


async def warm(at: HandScene) -> None:
    await at.scene.roll_out(plan=quick(triggers=(), warm=timedelta(minutes=5)), goal=Phase.WARM)


async def reclaimed(at: HandScene) -> None:
    """Green serves V2, nothing else is there, no rollout is under way."""
    await at.scene.roll_out(plan=quick(triggers=(), warm=seconds(1)), goal=Phase.RECLAIMED)


def deploy(at: HandScene, colour: Colour, digest: str, replicas: int = 2) -> None:
    long_ago = at.scene.clock.now() - timedelta(days=1)
    at.scene.world.deployments[colour] = _Deployment(digest, replicas, long_ago)


async def test_nothing_by_hand_is_nothing_to_do(at: HandScene) -> None:
    await reclaimed(at)
    assert await at.examine() == []
    assert at.pages() == []


async def test_d19_the_emergency_patch_in_the_warm_window_takes_the_users_back(at: HandScene) -> None:
    await warm(at)
    at.scene.world.selected = BLUE
    (one,) = await at.examine()
    assert (one.outcome, one.deed, one.colour) == (Outcome.FOLLOWED, Deed.GO_BACK, BLUE)
    row = at.scene.row()
    assert row.wish is not None
    assert "an operator's decision" in row.wish.why
    controller = at.scene.controller()
    await at.scene.clock.run(controller.drive(row.id, goal=Phase.ROLLED_BACK, holder="standby-1"))
    assert at.scene.world.weights == Weights(100, 0)
    assert at.scene.row().phase is Phase.ROLLED_BACK
    assert await at.examine() == []
    assert [page.title for page in at.pages()] == [
        "A change by hand of llm-service in production: the selector was followed as an operator's decision"
    ]


async def test_the_patch_in_mid_shift_does_not_jump_to_the_new_colour(at: HandScene) -> None:
    await at.scene.roll_out(plan=quick(triggers=()), goal=Phase.SHIFTING)
    at.scene.world.selected = GREEN
    (one,) = await at.examine()
    assert (one.outcome, one.deed) == (Outcome.REFUSED, Deed.SELECT)
    assert at.scene.world.selected is BLUE
    assert at.scene.world.weights == Weights(100, 0)


async def test_without_a_rollout_the_users_follow_the_patch_to_an_approved_colour(at: HandScene) -> None:
    await reclaimed(at)
    deploy(at, BLUE, V1)
    at.scene.world.selected = BLUE
    (one,) = await at.examine()
    assert (one.outcome, one.deed, one.digest) == (Outcome.FOLLOWED, Deed.ROUTE, V1)
    assert at.scene.world.weights == Weights(100, 0)
    assert at.scene.world.token == at.scene.row().token
    assert at.by_hand() == [("intent", "ByHandRoute"), ("done", "ByHandRoute")]
    assert await at.examine() == [], "what an operator decided is what should be there"


async def test_a_colour_that_answers_wrongly_is_left_again(at: HandScene) -> None:
    await reclaimed(at)
    deploy(at, BLUE, V1)
    at.scene.world.behave(V1, checks="500")
    at.scene.world.selected = BLUE
    await at.examine()
    assert at.scene.world.weights == Weights(0, 100)
    (change,) = at.scene.ledger.hand_table.rows.values()
    assert change.outcome is Outcome.REFUSED
    assert "back to green" in change.said


@pytest.mark.parametrize(
    ("digest", "replicas", "said"),
    [
        pytest.param(None, 0, "blue is not deployed", id="missing"),
        pytest.param(V3, 2, "does not hold as approved", id="never-approved"),
        pytest.param(V1, 1, "Only 1 of 2 pods of blue are ready", id="too-small"),
    ],
)
async def test_the_patch_to_a_colour_that_may_not_serve_is_put_back(
    at: HandScene, digest: str | None, replicas: int, said: str
) -> None:
    await reclaimed(at)
    if digest is not None:
        deploy(at, BLUE, digest, replicas)
    at.scene.world.selected = BLUE
    (one,) = await at.examine()
    assert one.outcome is Outcome.REFUSED
    assert at.scene.world.selected is GREEN
    assert at.scene.world.weights == Weights(0, 100)
    (page,) = at.pages()
    assert said in page.happened
    assert "The Service points at green, as before." in page.done


async def test_weights_set_by_hand_to_an_approved_colour_are_followed(at: HandScene) -> None:
    await reclaimed(at)
    deploy(at, BLUE, V1)
    at.scene.world._route(Weights(100, 0))
    (one,) = await at.examine()
    assert (one.subject, one.outcome) == (Subject.ROUTE, Outcome.FOLLOWED)
    assert at.scene.world.selected is BLUE


@pytest.mark.parametrize("weights", [Weights(100, 0), Weights(50, 50)], ids=["unapproved", "shares"])
async def test_other_weights_set_by_hand_are_put_back(at: HandScene, weights: Weights) -> None:
    await reclaimed(at)
    deploy(at, BLUE, V3 if weights.blue == 100 else V1)
    at.scene.world._route(weights)
    (one,) = await at.examine()
    assert (one.subject, one.outcome) == (Subject.ROUTE, Outcome.REFUSED)
    assert at.scene.world.weights == Weights(0, 100)


async def test_a_deleted_route_is_written_again(at: HandScene) -> None:
    await reclaimed(at)
    at.scene.world._route(Weights())
    (one,) = await at.examine()
    assert one.outcome is Outcome.PUT_BACK
    assert at.scene.world.weights == Weights(0, 100)


async def test_an_undo_to_an_approved_digest_is_an_operators_decision(at: HandScene) -> None:
    await reclaimed(at)
    deploy(at, GREEN, V1)
    (one,) = await at.examine()
    assert (one.subject, one.outcome, one.digest) == (Subject.TEMPLATE, Outcome.FOLLOWED, V1)
    assert at.scene.world.deployments[GREEN].digest == V1
    assert len(at.pages()) == 1
    assert await at.examine() == []


async def test_an_undo_to_anything_else_is_put_back(at: HandScene) -> None:
    await reclaimed(at)
    deploy(at, GREEN, V3)
    (one,) = await at.examine()
    assert one.outcome is Outcome.REFUSED
    assert at.scene.world.deployments[GREEN].digest == V2
    assert "deployed again as 1.2.0-00000000" in at.pages()[0].done


async def test_a_deleted_deployment_is_deployed_again(at: HandScene) -> None:
    await reclaimed(at)
    del at.scene.world.deployments[GREEN]
    (one,) = await at.examine()
    assert one.outcome is Outcome.PUT_BACK
    assert at.scene.world.deployments[GREEN].digest == V2


@pytest.mark.parametrize("colour", [GREEN, BLUE], ids=["serving", "warm"])
async def test_d9_what_keeps_users_served_is_scaled_up_again(at: HandScene, colour: Colour) -> None:
    await warm(at)
    at.scene.world.deployments[colour].replicas = 1
    (one,) = await at.examine()
    assert (one.subject, one.outcome) == (Subject.REPLICAS, Outcome.PUT_BACK)
    assert at.scene.world.deployments[colour].replicas == 2


async def test_a_new_colour_scaled_to_nothing_is_left_to_the_rollout_that_goes_back(at: HandScene) -> None:
    await warm(at)
    at.scene.world.deployments[GREEN].replicas = 0
    assert await at.examine() == []


async def test_scaling_up_is_written_down_once_and_pages_nobody(at: HandScene) -> None:
    await reclaimed(at)
    at.scene.world.deployments[GREEN].replicas = 3
    assert [one.outcome for one in await at.examine()] == [Outcome.FOLLOWED]
    assert await at.examine() == []
    assert at.scene.world.deployments[GREEN].replicas == 3
    assert at.pages() == []


async def test_a_foreign_route_and_a_missing_namespace_are_paged_once_with_what_to_do(at: HandScene) -> None:
    await reclaimed(at)
    at.hands.trouble = "HTTPRoute llm-service is somebody else's: delete it"
    await at.examine()
    assert await at.examine() == []
    at.hands.namespace = False
    await at.examine()
    route, namespace = at.pages()
    assert "Delete that route" in route.todo
    assert "Create the namespace" in namespace.todo


async def test_two_standbys_that_see_the_same_patch_act_once(at: HandScene) -> None:
    await reclaimed(at)
    deploy(at, BLUE, V1)
    at.scene.world.selected = BLUE
    at.scene.world.effects.clear()
    first, second = at.handwork("standby-1"), at.handwork("standby-2")

    async def both() -> None:
        await asyncio.gather(first._tried(TARGET), second._tried(TARGET))
        await second._tried(TARGET)

    await at.scene.clock.run(both())
    assert at.scene.world.effects == ["shift blue 100 green 0"]
    assert len(at.pages()) == 1
    assert at.by_hand() == [("intent", "ByHandRoute"), ("done", "ByHandRoute")]


async def test_a_standby_that_dies_after_the_patch_leaves_the_rest_to_another(at: HandScene) -> None:
    await reclaimed(at)
    deploy(at, BLUE, V1)
    at.scene.world.selected = BLUE
    at.scene.world.away.add("probe")
    dying = asyncio.ensure_future(at.handwork("standby-1").examine(TARGET))
    while at.scene.world.weights != Weights(100, 0):
        await asyncio.sleep(0)
    dying.cancel()
    at.scene.world.away.clear()
    at.scene.clock.advance(timedelta(seconds=11))
    await at.examine(at.handwork("standby-2"))
    (change,) = at.scene.ledger.hand_table.rows.values()
    assert change.outcome is Outcome.FOLLOWED
    assert len(at.pages()) == 1


async def test_what_is_scaled_down_again_and_again_pages_only_now_and_then(at: HandScene) -> None:
    await reclaimed(at)
    for _ in range(3):
        at.scene.world.deployments[GREEN] = replace(at.scene.world.deployments[GREEN], replicas=1)
        await at.examine()
        at.scene.world.deployments[GREEN].since = at.scene.clock.now() - timedelta(hours=1)
    assert len(at.scene.ledger.hand_table.rows) == 3


async def test_all_traffic_given_back_at_the_route_by_hand_is_the_way_back(at: HandScene) -> None:
    await warm(at)
    at.scene.world._route(Weights(100, 0))
    controller, row = at.scene.controller(), at.scene.row()
    await at.scene.clock.run(controller.drive(row.id, goal=Phase.RECLAIMED, holder="standby-1"))
    assert at.scene.row().phase is Phase.ROLLED_BACK
    assert "somebody gave all traffic back to blue by hand" in at.scene.row().reason


async def test_a_route_deleted_in_the_warm_window_is_there_again(at: HandScene) -> None:
    await warm(at)
    at.scene.world._route(Weights())
    controller, row = at.scene.controller(), at.scene.row()
    await at.scene.clock.run(controller.drive(row.id, goal=Phase.RECLAIMED, holder="standby-1"))
    assert at.scene.row().phase is Phase.RECLAIMED
    assert at.scene.world.weights == Weights(0, 100)


async def test_the_old_colour_stays_while_the_new_one_fails_its_checks(at: HandScene) -> None:
    await at.scene.roll_out(plan=quick(triggers=(), warm=timedelta(minutes=5)), goal=Phase.WARM)
    at.scene.world.behave(V2, checks="500")
    at.scene.clock.at(timedelta(minutes=9), lambda: at.scene.world.behave(V2, checks=""))
    before = at.scene.clock.now()
    controller, row = at.scene.controller(), at.scene.row()
    await at.scene.clock.run(controller.drive(row.id, goal=Phase.RECLAIMED, holder="standby-1"))
    assert at.scene.row().phase is Phase.RECLAIMED
    assert at.scene.clock.now() - before >= timedelta(minutes=9)


async def test_a_service_deleted_in_mid_rollout_is_there_again(at: HandScene) -> None:
    await warm(at)
    at.scene.world.selected = None
    (one,) = await at.examine()
    assert (one.outcome, one.colour) == (Outcome.PUT_BACK, GREEN)
    assert at.scene.world.selected is GREEN


async def test_a_release_after_a_patched_one_is_not_taken_for_a_hand(at: HandScene) -> None:
    """The Service was pointed at blue by hand, and stays there while the next preview comes up."""
    await warm(at)
    at.scene.world.selected = BLUE
    await at.examine()
    controller, row = at.scene.controller(), at.scene.row()
    await at.scene.clock.run(controller.drive(row.id, goal=Phase.ROLLED_BACK, holder="standby-1"))
    at.scene.world.approved.add(V3)
    for goal in (Phase.VERIFYING, Phase.SHIFTING, Phase.PROMOTED):
        await at.scene.roll_out(V3, plan=quick(triggers=()), goal=goal)
        assert await at.examine() == []
