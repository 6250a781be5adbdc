"""What the world may answer, and what people and clocks may do: each ends in a phase and a sentence that
names the next action, and no traffic goes where it was not approved. Ledger and votes: tests/adapters."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import CrashAt, Killed, SkewedClock, seconds
from hand_scenes import HandScene
from rollout_scenes import PLAN, TARGET, V1, V2, Scene, quick, request

from platform_ops.controller.rollouts import RolloutController
from platform_ops.core.drift import Outcome, Subject
from platform_ops.core.errors import Refused
from platform_ops.core.paging import ended_badly_page
from platform_ops.core.plan import Check, Step
from platform_ops.core.ports import Point, Series
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Phase

BLUE, GREEN = Colour.BLUE, Colour.GREEN
OLD_ONLY = Weights(100, 0)
FIRST, SECOND = "shift blue 95 green 5", "shift blue 75 green 25"
BACK = "shift blue 100 green 0"
HOUR = timedelta(hours=1)
FOREIGN = (
    "HTTPRoute llm-service in llm-service-prod has no rule with llm-service-blue and llm-service-green; "
    "somebody (helm) changed or owns it: delete it, and it is written again, or give the service another "
    "namespace"
)

Found = tuple[Series, ...]


@pytest.fixture
def scene() -> Scene:
    made = Scene().with_v1()
    made.world.rate = 1000.0
    return made


def after(scene: Scene, effect: str, happens: Callable[[], None]) -> None:
    """Once the controller has done `effect`."""

    def look() -> None:
        if scene.world.effects[-1] == effect:
            happens()

    scene.world.after_effect = look


def page(scene: Scene) -> str:
    """What people read of the rollout's end."""
    return ended_badly_page(scene.row()).text


def held_pages(scene: Scene) -> list[str]:
    pages = [queued.page for queued in scene.ledger.outbox_table.pages.values()]
    return [one.text for one in pages if "waits for a decision" in one.title]


# Metrics


def nothing(true: Found) -> Found:
    return ()


def every_value(value: float) -> Callable[[Found], Found]:
    def changed(true: Found) -> Found:
        return tuple(replace(one, points=tuple(Point(p.at, value) for p in one.points)) for one in true)

    return changed


def labelled(**labels: str) -> Callable[[Found], Found]:
    return lambda true: tuple(replace(one, labels=labels) for one in true)


def away(scene: Scene) -> None:
    scene.world.away.add("metrics")


def answers(measured: Callable[[Found], Found]) -> Callable[[Scene], None]:
    return lambda scene: setattr(scene.world, "measured", measured)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(away, "metrics does not answer (unavailable)", id="5xx"),
        pytest.param(answers(nothing), "the metrics hold no requests of this colour (no data)", id="nothing"),
        pytest.param(answers(every_value(math.nan)), "0 of at least 100 requests", id="nan"),
        pytest.param(answers(every_value(math.inf)), "0 of at least 100 requests", id="infinite"),
        pytest.param(
            answers(labelled(envoy_cluster_name="llm-service-prod/llm-service-blue/rule/2")),
            "asked for llm-service-green, the metrics answer about llm-service-blue",
            id="wrong-colour-of-the-gateway",
        ),
        pytest.param(
            answers(labelled(pod="llm-service-blue-5d5f8c7b9d-x2x7z")),
            "asked for llm-service-green, the metrics answer about llm-service-blue",
            id="wrong-colour-of-the-pods",
        ),
    ],
)
async def test_figures_that_say_nothing_let_no_step_end_and_people_are_asked(
    scene: Scene, fault: Callable[[Scene], None], said: str
) -> None:
    after(scene, FIRST, lambda: fault(scene))
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert scene.shifts() == [FIRST, BACK]
    (asked,) = held_pages(scene)
    assert said in asked
    assert "Decide: clear roll_out of run-1.2.0 in Airflow to go on, or ops rollback llm-service" in asked
    assert "no decision within 5 min of the hold" in view.reason
    assert "Users get the version before. Read the log, correct the cause, and promote again." in page(scene)


async def test_figures_of_the_colour_that_was_asked_for_are_judged(scene: Scene) -> None:
    scene.world.measured = labelled(
        envoy_cluster_name="llm-service-prod/llm-service-green/rule/2", namespace="llm-service-blue"
    )
    assert (await scene.roll_out()).phase is Phase.PROMOTED


async def test_a_step_does_not_end_on_figures_that_stopped_in_its_middle(scene: Scene) -> None:
    """Enough requests were counted without an error before the scrapes ended; nobody knows of those since."""
    clock = scene.clock

    def stop() -> None:
        end = clock.now()

        def until_then(true: Found) -> Found:
            cut = (replace(one, points=tuple(p for p in one.points if p.at <= end)) for one in true)
            return tuple(one for one in cut if one.points)

        scene.world.measured = until_then
        scene.world.behave(V2, error_share=1.0)

    after(scene, FIRST, lambda: clock.at(timedelta(minutes=2), stop))
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert scene.shifts() == [FIRST, BACK]
    assert "look at the scrapes" in view.reason


async def test_errors_of_the_old_colour_are_none_of_the_new_one(scene: Scene) -> None:
    scene.world.behave(V1, error_share=1.0)
    assert (await scene.roll_out()).phase is Phase.PROMOTED


async def test_responses_of_the_wrong_colour_confirm_no_weight(scene: Scene) -> None:
    """The route says 5 %, the gateway goes on with what it had."""
    scene.world.gateway_lag = timedelta(days=1)
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert view.reason == "the route says blue 95 %, green 5 %, real responses do not show it"
    assert scene.shifts() == [FIRST, BACK]


# The catalog


async def test_a_catalog_change_in_mid_shift_changes_neither_steps_nor_place_nor_rules(scene: Scene) -> None:
    """The task runs again with everything edited; so does whoever takes over."""
    other = replace(
        PLAN,
        replicas=7,
        steps=(Step(100, timedelta()),),
        triggers=(),
        checks=(Check("/gone", status=404),),
        page_channel="#nobody",
    )
    edited = replace(
        request(V2, other), target=replace(TARGET, namespace="elsewhere", url="https://new.example.com")
    )
    controller = scene.controller()

    async def edit_and_go_on() -> None:
        rollout_id = await controller.open(request(V2))
        first = asyncio.ensure_future(controller.drive(rollout_id, goal=Phase.PROMOTED, holder="triggerer"))
        await scene.clock.sleep(timedelta(minutes=7))
        assert scene.row().phase is Phase.SHIFTING
        first.cancel()
        await asyncio.wait((first,))
        assert await scene.controller().open(edited) == rollout_id
        await scene.controller().drive(rollout_id, goal=Phase.PROMOTED, holder="standby")

    await scene.clock.run(edit_and_go_on())
    row = scene.row()
    assert (row.phase, row.target) == (Phase.PROMOTED, TARGET)
    assert row.plan == replace(PLAN, manifests=row.plan.manifests)
    assert scene.shifts() == [FIRST, SECOND, "shift blue 50 green 50", "shift blue 0 green 100"]


# Objects that people delete


@pytest.mark.parametrize(
    ("when", "shifts"),
    [pytest.param(f"deploy green {V2}", [], id="preview"), pytest.param(SECOND, [FIRST, SECOND], id="shift")],
)
async def test_a_deleted_namespace_ends_in_needs_attention_with_what_to_do(
    scene: Scene, when: str, shifts: list[str]
) -> None:
    after(scene, when, scene.world.delete_namespace)
    view = await scene.roll_out()
    assert view.phase is Phase.NEEDS_ATTENTION
    assert "llm-service-blue in llm-service-prod is gone: deploy it again" in view.reason
    assert "repair one, then ops rollback llm-service production" in page(scene)
    assert scene.shifts() == shifts


@pytest.mark.parametrize("when", [f"deploy green {V2}", SECOND], ids=["preview", "shift"])
async def test_once_the_namespace_is_there_again_the_rollout_goes_back(when: str) -> None:
    scene = Scene()
    scene.world.rate = 1000.0
    scene.world.approved |= {V1, V2}
    await scene.roll_out(V1)
    at = HandScene(scene)
    after(scene, when, scene.world.delete_namespace)
    assert (await scene.roll_out()).phase is Phase.NEEDS_ATTENTION
    at.hands.namespace = False
    await at.examine()
    assert "Create the namespace and its rights again" in at.pages()[-1].todo
    assert "then ops rollback llm-service production" in at.pages()[-1].todo
    at.hands.namespace, scene.world.refuses = True, ""
    done = await at.examine()
    assert (done[0].subject, done[0].outcome) == (Subject.TEMPLATE, Outcome.PUT_BACK)
    assert scene.world.deployments[BLUE].digest == V1

    async def go_back() -> None:
        controller, row = scene.controller(), scene.row()
        await controller.request_rollback(row.id, by="oncall", why="the namespace is there again")
        await controller.drive(row.id, goal=Phase.ROLLED_BACK, holder="ops")

    await scene.clock.run(go_back())
    assert scene.row().phase is Phase.ROLLED_BACK
    assert scene.world.weights == OLD_ONLY
    assert set(scene.world.deployments) == {BLUE}


async def test_a_deleted_preview_is_told_at_its_deadline(scene: Scene) -> None:
    after(scene, f"deploy green {V2}", lambda: scene.clock.at(seconds(4), lambda: _delete(scene, GREEN)))
    scene.world.away.add("images")
    scene.clock.at(timedelta(minutes=1), scene.world.away.clear)
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert view.reason == "not ready within 600 s: the Deployment llm-service-green is gone"
    assert scene.shifts() == []
    assert "No traffic ever left blue." in page(scene)


async def test_a_new_colour_deleted_under_traffic_goes_back_at_once(scene: Scene) -> None:
    deleted = []

    def delete() -> None:
        deleted.append(scene.clock.now())
        _delete(scene, GREEN)

    after(scene, SECOND, lambda: scene.clock.at(timedelta(minutes=1), delete))
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert view.reason == "the Deployment llm-service-green is gone"
    back = next(e.at for e in scene.ledger.journal_table.entries if e.what == "BeginRollback")
    assert back - deleted[0] <= seconds(5)
    assert scene.world.weights == OLD_ONLY


async def test_an_old_colour_deleted_in_mid_shift_is_there_again_before_it_is_needed() -> None:
    scene = Scene()
    scene.world.rate = 1000.0
    scene.world.approved |= {V1, V2}
    await scene.roll_out(V1)
    at = HandScene(scene)
    await scene.roll_out(goal=Phase.SHIFTING)
    _delete(scene, BLUE)
    (one,) = await at.examine()
    assert (one.colour, one.outcome) == (BLUE, Outcome.PUT_BACK)
    assert scene.world.deployments[BLUE].digest == V1
    scene.world.behave(V2, error_share=1.0)
    assert (await scene.roll_out()).phase is Phase.ROLLED_BACK
    assert scene.world.weights == OLD_ONLY


async def test_without_the_old_colour_traffic_stays_and_people_are_told(scene: Scene) -> None:
    def delete_and_fail() -> None:
        _delete(scene, BLUE)
        scene.world.behave(V2, error_share=1.0)

    after(scene, SECOND, delete_and_fail)
    view = await scene.roll_out()
    assert view.phase is Phase.NEEDS_ATTENTION
    assert "fast-burn" in view.reason, "why it went back is not forgotten"
    assert "llm-service-blue in llm-service-prod is gone: deploy it again" in view.reason
    assert scene.shifts() == [FIRST, SECOND]


def _delete(scene: Scene, colour: Colour) -> None:
    scene.world.delete_by_hand(colour)


# A route that somebody else owns


async def test_no_rollout_opens_on_a_route_that_somebody_else_owns(scene: Scene) -> None:
    scene.world.owned = FOREIGN
    with pytest.raises(Refused, match="delete it, and it is written again"):
        await scene.controller().open(request(V2))
    assert scene.world.effects == []


async def test_a_route_taken_before_any_traffic_ends_the_preview(scene: Scene) -> None:
    after(scene, f"deploy green {V2}", lambda: setattr(scene.world, "owned", FOREIGN))
    view = await scene.roll_out()
    assert (view.phase, view.reason) == (Phase.ROLLED_BACK, FOREIGN)
    assert scene.world.effects == [f"deploy green {V2}", "remove green"]


async def test_a_route_taken_in_mid_shift_stays_as_it_is_until_people_decide(scene: Scene) -> None:
    after(scene, SECOND, lambda: setattr(scene.world, "owned", FOREIGN))
    view = await scene.roll_out()
    assert (view.phase, view.reason) == (Phase.NEEDS_ATTENTION, FOREIGN)
    assert "then ops rollback llm-service production" in page(scene)
    assert scene.shifts() == [FIRST, SECOND]
    scene.world.owned = ""

    async def go_back() -> None:
        await scene.controller().request_rollback(view.rollout_id, by="oncall", why="the route is ours again")
        await scene.controller().drive(view.rollout_id, goal=Phase.ROLLED_BACK, holder="ops")

    await scene.clock.run(go_back())
    assert scene.row().phase is Phase.ROLLED_BACK
    assert scene.world.weights == OLD_ONLY


async def test_a_route_taken_in_the_warm_window_is_paged_and_nothing_is_removed(scene: Scene) -> None:
    plan = quick(triggers=(), warm=timedelta(minutes=5))
    await scene.roll_out(plan=plan, goal=Phase.WARM)
    scene.world.owned = FOREIGN
    at = HandScene(scene)
    at.hands.trouble = FOREIGN
    await at.examine()
    assert "delete it" in at.pages()[0].happened
    stop = asyncio.Event()
    scene.clock.at(timedelta(minutes=30), stop.set)
    await scene.clock.run(scene.controller().standby("standby", stop))
    assert scene.row().phase is Phase.WARM
    assert set(scene.world.deployments) == {BLUE, GREEN}


# Clocks


async def test_a_clock_that_jumps_ahead_ends_no_step_and_asks_people(scene: Scene) -> None:
    after(scene, SECOND, lambda: scene.clock.at(timedelta(minutes=1), lambda: _set_clock(scene, HOUR)))
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert scene.shifts() == [FIRST, SECOND, BACK]
    (asked,) = held_pages(scene)
    assert "no verdict: error-rate: the newest requests that the metrics hold are of" in asked


async def test_once_the_clock_is_right_again_people_let_the_rollout_go_on(scene: Scene) -> None:
    after(scene, SECOND, lambda: scene.clock.at(timedelta(minutes=1), lambda: _set_clock(scene, HOUR)))

    async def repair() -> None:
        controller = scene.controller()
        rollout_id = await controller.open(request(V2))
        driving = asyncio.ensure_future(controller.drive(rollout_id, goal=Phase.PROMOTED, holder="triggerer"))
        await scene.clock.sleep(timedelta(minutes=8))
        assert scene.row().hold is not None
        _set_clock(scene, timedelta())
        await controller.resume(rollout_id, by="devops", why="NTP is back")
        await driving

    await scene.clock.run(repair())
    assert scene.row().phase is Phase.PROMOTED


@pytest.mark.parametrize("back", [HOUR, timedelta(days=20000)], ids=["an-hour", "to-the-epoch"])
async def test_a_clock_that_jumps_back_watches_nothing_for_ever(scene: Scene, back: timedelta) -> None:
    """A bad release does not stay for as long as the clock is behind because nobody could judge it."""
    jumped = []

    def jump() -> None:
        jumped.append(scene.clock.now())
        _set_clock(scene, -back)
        scene.world.behave(V2, error_share=0.3)

    after(scene, SECOND, lambda: scene.clock.at(timedelta(minutes=1), jump))
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert scene.clock.now() - jumped[0] <= timedelta(minutes=7)
    assert scene.shifts() == [FIRST, SECOND, BACK]
    (asked,) = held_pages(scene)
    assert "the step cannot be judged. Set the clock right" in asked


@pytest.mark.parametrize("off", [-50, -20, 20, 50])
async def test_clocks_of_two_holders_that_differ_a_little_are_no_reason_to_stop(
    scene: Scene, off: float
) -> None:
    after(scene, SECOND, lambda: scene.clock.at(seconds(30), lambda: _set_clock(scene, seconds(off))))
    assert (await scene.roll_out()).phase is Phase.PROMOTED


async def test_a_dead_holder_whose_clock_was_ahead_keeps_nobody_waiting(scene: Scene) -> None:
    _set_clock(scene, HOUR)
    with pytest.raises(Killed):
        await scene.roll_out(process=CrashAt(label="after-effect:Deploy"), holder="the one that dies")
    await scene.clock.run(scene.ledger.connection().rollouts.raise_goal(scene.row().id, Phase.PROMOTED))
    _set_clock(scene, timedelta())
    died_at, stop = scene.clock.now(), asyncio.Event()
    scene.clock.at(timedelta(minutes=40), stop.set)
    await scene.clock.run(scene.controller().standby("standby", stop))
    first = next(e for e in scene.ledger.journal_table.entries if e.actor == "standby")
    assert first.at - died_at <= seconds(30)
    assert scene.row().phase.reached(Phase.PROMOTED)


async def test_a_holder_that_lives_keeps_its_lease_although_its_clock_is_ahead(scene: Scene) -> None:
    """It renews it: whoever waits sees that, whatever the time says."""
    controller, off = scene.controller(), SkewedClock(scene.clock)
    off.off_by = timedelta(minutes=10)
    ahead = RolloutController(replace(scene.ports(), clock=off))
    goal = Phase.PROMOTED

    async def both() -> None:
        rollout_id = await controller.open(request(V2, quick(triggers=())))
        first = asyncio.ensure_future(ahead.drive(rollout_id, goal=goal, holder="ahead"))
        await scene.clock.sleep(seconds(1))
        await asyncio.gather(first, controller.drive(rollout_id, goal=goal, holder="right"))

    await scene.clock.run(both())
    assert scene.row().phase is Phase.PROMOTED
    assert {e.actor for e in scene.ledger.journal_table.entries if e.kind != "note"} == {"ahead"}


def _set_clock(scene: Scene, off_by: timedelta) -> None:
    scene.of_controller.off_by = off_by


# An image that is gone


async def test_an_image_that_cannot_be_pulled_any_more_ends_the_preview_with_the_nodes_words(
    scene: Scene,
) -> None:
    gone = "ImagePullBackOff: manifest unknown"
    after(scene, f"deploy green {V2}", lambda: scene.world.lose_pods(GREEN, 2, gone))
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert view.reason == f"not ready within 600 s: 0 of 2 pods of green are ready; {gone}"
    assert scene.shifts() == []


async def test_an_old_image_that_is_gone_is_no_place_to_go_back_to(scene: Scene) -> None:
    def scale_down_and_fail() -> None:
        scene.world.deployments[BLUE].replicas = 0
        scene.world.lose_pods(BLUE, 2, "ImagePullBackOff: manifest unknown")
        scene.world.behave(V2, error_share=1.0)

    after(scene, SECOND, scale_down_and_fail)
    view = await scene.roll_out()
    assert view.phase is Phase.NEEDS_ATTENTION
    assert "0 of 2 pods of blue are ready; ImagePullBackOff: manifest unknown" in view.reason
    assert scene.shifts() == [FIRST, SECOND]
    assert "repair one, then ops rollback llm-service production" in page(scene)
