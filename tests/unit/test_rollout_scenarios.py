"""What a fault does to a rollout, and what comes out: the scenarios of delivery, with the real controller."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import CrashAt, Killed, seconds
from rollout_scenes import PLAN, TARGET, V1, V2, V3, Scene, quick, request

from platform_ops.core.errors import GateClosed, Held
from platform_ops.core.plan import OnInsufficientSamples
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Phase

OLD_ONLY, NEW_ONLY = Weights(100, 0), Weights(0, 100)


@pytest.fixture
def scene() -> Scene:
    return Scene().with_v1()


async def test_a_good_release_goes_up_step_by_step_and_bakes(scene: Scene) -> None:
    view = await scene.roll_out()
    assert view.phase is Phase.PROMOTED
    assert scene.world.effects == [
        f"deploy green {V2}",
        "shift blue 95 green 5",
        "shift blue 75 green 25",
        "shift blue 50 green 50",
        "shift blue 0 green 100",
    ]
    assert scene.world.deployments[Colour.BLUE].digest == V1


async def test_the_first_release_gets_all_traffic_after_its_checks() -> None:
    scene = Scene()
    scene.world.approved.add(V1)
    view = await scene.roll_out(V1)
    assert view.phase is Phase.PROMOTED
    assert scene.world.effects == [f"deploy blue {V1}", "shift blue 100 green 0"]


async def test_a_first_release_that_fails_is_removed() -> None:
    scene = Scene()
    scene.world.approved.add(V1)
    scene.world.behave(V1, error_share=1.0)
    view = await scene.roll_out(V1)
    assert view.phase is Phase.ROLLED_BACK
    assert scene.world.deployments == {}


async def test_a_first_release_without_users_is_judged_by_load_of_our_own() -> None:
    scene = Scene()
    scene.world.rate = 0.0
    scene.world.counts_probes = True
    scene.world.approved.add(V1)
    assert (await scene.roll_out(V1)).phase is Phase.PROMOTED


async def test_d1_a_preview_that_fails_a_check_never_gets_traffic(scene: Scene) -> None:
    scene.world.behave(V2, checks="500")
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert "GET /health: 500 instead of 200" in view.reason
    assert scene.world.effects == [f"deploy green {V2}", "remove green"]
    assert scene.world.weights == OLD_ONLY


async def test_d2_errors_under_traffic_bring_the_old_colour_back_and_prove_it(scene: Scene) -> None:
    scene.world.behave(V2, error_share=0.05)
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert "error-rate" in view.reason
    assert scene.world.weights == OLD_ONLY
    done = [what for kind, what in scene.journal() if kind == "done"]
    assert done[-5:] == ["Shift", "Confirm", "VerifyOld", "RemoveNew", "Enter"]


async def test_d2_slow_answers_bring_the_old_colour_back(scene: Scene) -> None:
    scene.world.behave(V2, p95=8.0)
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert "requests took longer than 5 s (100.0%; limit 5.0%)" in view.reason


async def test_d3_going_back_needs_no_pod_of_the_new_colour(scene: Scene) -> None:
    scene.clock.at(timedelta(minutes=8), lambda: scene.world.lose_pods(Colour.GREEN, 2, "CrashLoopBackOff"))
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert "0 of 2 pods of green are ready; CrashLoopBackOff" in view.reason
    entries = scene.ledger.journal_table.entries
    decided = next(e.at for e in entries if e.what == "BeginRollback")
    back = next(e.at for e in entries if e.what == "Shift" and e.kind == "done" and e.at >= decided)
    assert back - decided <= seconds(5)


async def test_a_single_pod_that_comes_back_in_time_is_no_reason_to_go_back(scene: Scene) -> None:
    scene.clock.at(timedelta(minutes=8), lambda: scene.world.lose_pods(Colour.GREEN, 1))
    scene.clock.at(timedelta(minutes=8, seconds=5), lambda: scene.world.lose_pods(Colour.GREEN, 0))
    assert (await scene.roll_out()).phase is Phase.PROMOTED


async def test_d4_after_a_failed_release_a_good_one_goes_live(scene: Scene) -> None:
    scene.world.behave(V2, error_share=0.5)
    assert (await scene.roll_out()).phase is Phase.ROLLED_BACK
    scene.world.approved.add(V3)
    assert (await scene.roll_out(V3)).phase is Phase.PROMOTED
    digests = {colour: d.digest for colour, d in scene.world.deployments.items()}
    assert digests == {Colour.BLUE: V1, Colour.GREEN: V3}


async def test_d5_an_image_that_cannot_start_is_removed_at_the_deadline(scene: Scene) -> None:
    scene.world.behave(V2, ready_after=None)
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert "not ready within 600 s" in view.reason
    assert scene.world.effects == [f"deploy green {V2}", "remove green"]


async def test_d6_the_journal_tells_the_exact_order(scene: Scene) -> None:
    await scene.roll_out(plan=quick(triggers=()))
    step = [("intent", "Shift"), ("done", "Shift"), ("done", "Confirm"), ("done", "Enter")]
    assert scene.journal() == [
        ("note", "Open"),
        ("intent", "Deploy"),
        ("done", "Deploy"),
        ("done", "Enter"),
        ("intent", "Verify"),
        ("done", "Verify"),
        ("done", "Enter"),
        *step * 4,
        ("done", "Enter"),
    ]


async def test_d7_a_rollback_inside_the_warm_window_takes_seconds(scene: Scene) -> None:
    view = await scene.roll_out()
    asked_at = scene.clock.now()
    controller = scene.controller()

    async def go_back() -> None:
        await controller.request_rollback(view.rollout_id, by="oncall", why="wrong results")
        await controller.drive(view.rollout_id, goal=Phase.ROLLED_BACK, holder="rollback")

    await scene.clock.run(go_back())
    assert scene.row().phase is Phase.ROLLED_BACK
    assert scene.row().reason == "oncall: wrong results"
    assert scene.world.weights == OLD_ONLY
    assert scene.clock.now() - asked_at <= seconds(10)


@pytest.mark.parametrize("policy", list(OnInsufficientSamples))
async def test_d8_without_metrics_nothing_goes_on_and_people_are_paged(
    scene: Scene, policy: OnInsufficientSamples
) -> None:
    scene.clock.at(seconds(20), lambda: scene.world.away.add("metrics"))
    view = await scene.roll_out(plan=quick(on_insufficient_samples=policy))
    held = [p for p in scene.ledger.outbox_table.pages.values() if "waits for a decision" in p.page.title]
    assert view.phase is Phase.ROLLED_BACK
    assert "no decision within 5 min" in view.reason
    assert len(held) == 1
    assert scene.shifts()[-1] == "shift blue 100 green 0"
    assert "shift blue 0 green 100" not in scene.shifts()


async def test_d8_metrics_that_come_back_let_the_rollout_go_on_by_itself(scene: Scene) -> None:
    scene.clock.at(timedelta(minutes=3), lambda: scene.world.away.add("metrics"))
    scene.clock.at(timedelta(minutes=8), scene.world.away.clear)
    assert (await scene.roll_out()).phase is Phase.PROMOTED


@pytest.mark.parametrize("port", ["workloads", "router", "probe", "ledger"])
async def test_a_minute_without_a_system_in_mid_shift_moves_no_weight_and_ends_well(
    scene: Scene, port: str
) -> None:
    def go_away() -> None:
        scene.world.away.add(port)
        scene.ledger.away = port == "ledger"

    def come_back() -> None:
        scene.world.away.clear()
        scene.ledger.away = False

    scene.clock.at(timedelta(minutes=7), go_away)
    scene.clock.at(timedelta(minutes=8), come_back)
    assert (await scene.roll_out()).phase is Phase.PROMOTED
    assert len(scene.shifts()) == 4


async def test_d9_an_old_colour_that_was_scaled_down_is_brought_up_before_traffic_moves(scene: Scene) -> None:
    def scale_down() -> None:
        scene.world.deployments[Colour.BLUE].replicas = 0
        scene.world.behave(V2, error_share=1.0)

    scene.clock.at(timedelta(minutes=17), scale_down)
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    back = scene.world.effects.index("shift blue 100 green 0")
    assert scene.world.effects[back - 1] == "scale blue 2"


async def test_d9_when_both_colours_are_bad_traffic_stays_put(scene: Scene) -> None:
    def break_both() -> None:
        scene.world.lose_pods(Colour.BLUE, 2, "OOMKilled")
        scene.world.behave(V2, error_share=1.0)

    scene.clock.at(timedelta(minutes=17), break_both)
    view = await scene.roll_out()
    assert view.phase is Phase.NEEDS_ATTENTION
    assert "both colours are bad: 0 of 2 pods of blue are ready; OOMKilled" in view.reason
    assert "shift blue 100 green 0" not in scene.shifts()


async def test_d10_a_healthy_release_at_two_requests_a_second_is_not_rolled_back(scene: Scene) -> None:
    scene.world.rate = 2.0
    scene.world.behave(V2, error_share=0.005)
    plan = quick(extension=timedelta(hours=2))
    assert (await scene.roll_out(plan=plan)).phase is Phase.PROMOTED


async def test_d11_total_failure_at_a_quarter_of_the_traffic_ends_within_half_a_minute(scene: Scene) -> None:
    failed_at = []

    def fail() -> None:
        assert scene.world.weights == Weights(75, 25)
        failed_at.append(scene.clock.now())
        scene.world.behave(V2, error_share=1.0)

    scene.clock.at(timedelta(minutes=7), fail)
    view = await scene.roll_out()
    assert "fast-burn" in view.reason
    back = next(
        e.at
        for e in scene.ledger.journal_table.entries
        if e.what == "Shift" and e.kind == "done" and e.at > failed_at[0]
    )
    assert back - failed_at[0] <= seconds(30)


async def test_d12_a_second_release_in_mid_shift_is_told_who_holds(scene: Scene) -> None:
    controller = scene.controller()

    async def ask_twice() -> None:
        rollout_id = await controller.open(request(V2))
        driving = asyncio.ensure_future(controller.drive(rollout_id, goal=Phase.PROMOTED, holder="triggerer"))
        await scene.clock.sleep(timedelta(minutes=7))
        with pytest.raises(Held, match=r"run-1\.2\.0.*triggerer"):
            await controller.open(request(V3))
        await driving

    await scene.clock.run(ask_twice())
    assert scene.row().phase is Phase.PROMOTED


async def test_a_new_release_ends_the_warm_window_of_the_one_before(scene: Scene) -> None:
    await scene.roll_out()
    scene.world.approved.add(V3)
    view = await scene.roll_out(V3)
    assert view.phase is Phase.PROMOTED
    assert ("note", "EndWarmWindow") in scene.journal()
    digests = {colour: d.digest for colour, d in scene.world.deployments.items()}
    assert digests == {Colour.BLUE: V3, Colour.GREEN: V2}


async def test_d14_a_holder_that_wakes_after_a_takeover_is_fenced_at_the_route(scene: Scene) -> None:
    """It decided to shift, then slept through its lease; the other one has shifted since."""
    asleep = asyncio.Event()
    shift = scene.world.shift

    async def sleepy(target: object, weights: Weights, fence: object) -> None:
        if fence.token == 1 and weights == Weights(75, 25):
            asleep.set()
            scene.ledger.rollout_table._rows[scene.row().id] = scene.row().__class__(
                **{**scene.row().__dict__, "lease_until": scene.clock.now()}
            )
            await scene.clock.sleep(timedelta(minutes=4))
        await shift(target, weights, fence)

    scene.world.shift = sleepy
    controller = scene.controller()

    async def both() -> None:
        rollout_id = await controller.open(request(V2))
        first = asyncio.ensure_future(controller.drive(rollout_id, goal=Phase.PROMOTED, holder="first"))
        await asleep.wait()
        second = asyncio.ensure_future(controller.drive(rollout_id, goal=Phase.PROMOTED, holder="second"))
        await asyncio.gather(first, second)

    await scene.clock.run(both())
    assert scene.row().phase is Phase.PROMOTED
    assert scene.shifts() == [
        "shift blue 95 green 5",
        "shift blue 75 green 25",
        "shift blue 50 green 50",
        "shift blue 0 green 100",
    ]


async def test_d16_without_approval_in_the_ledger_no_traffic_moves(scene: Scene) -> None:
    scene.world.approved.remove(V2)
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert "Shift was refused" in view.reason
    assert scene.shifts() == []
    assert scene.world.weights == OLD_ONLY
    assert not scene.row().moved, "a refused shift moved nothing, and nobody may read that traffic came back"


async def test_a_manifest_that_the_api_refuses_ends_with_its_words(scene: Scene) -> None:
    scene.world.refuses = "Deployment.apps is invalid: spec.replicas: must be positive"
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert "spec.replicas: must be positive" in view.reason


async def test_nothing_goes_beyond_the_goal(scene: Scene) -> None:
    for goal, shifts in ((Phase.VERIFYING, 0), (Phase.SHIFTING, 0), (Phase.PROMOTED, 4)):
        view = await scene.roll_out(goal=goal)
        assert view.phase is goal
        assert len(scene.shifts()) == shifts


async def test_a_hold_keeps_the_weights_and_resuming_goes_on(scene: Scene) -> None:
    controller = scene.controller()

    async def hold_and_resume() -> None:
        rollout_id = await controller.open(request(V2))
        driving = asyncio.ensure_future(controller.drive(rollout_id, goal=Phase.PROMOTED, holder="triggerer"))
        await scene.clock.sleep(timedelta(minutes=7))
        await controller.hold(rollout_id, by="devops", why="looking at a graph")
        weights = scene.world.weights
        await scene.clock.sleep(timedelta(minutes=4))
        assert scene.world.weights == weights
        await controller.resume(rollout_id, by="devops", why="it was the graph")
        await driving

    await scene.clock.run(hold_and_resume())
    assert scene.row().phase is Phase.PROMOTED


async def test_a_hold_that_nobody_decides_goes_back_after_five_minutes_with_one_page(scene: Scene) -> None:
    controller = scene.controller()

    async def hold_and_forget() -> None:
        rollout_id = await controller.open(request(V2))
        stop = asyncio.Event()
        standby = asyncio.ensure_future(controller.standby("standby", stop))
        driving = asyncio.ensure_future(controller.drive(rollout_id, goal=Phase.PROMOTED, holder="triggerer"))
        await scene.clock.sleep(timedelta(minutes=7))
        await controller.hold(rollout_id, by="devops", why="looking at a graph")
        await scene.clock.sleep(timedelta(minutes=4, seconds=58))
        assert scene.row().phase is Phase.SHIFTING
        await driving
        await scene.clock.sleep(timedelta(minutes=2))
        stop.set()
        await standby

    await scene.clock.run(hold_and_forget())
    assert scene.row().reason == "no decision within 5 min of the hold (looking at a graph)"
    assert scene.world.weights == OLD_ONLY
    (page,) = scene.ledger.outbox_table.pages.values()
    assert "was rolled back" in page.page.title


async def test_what_went_back_is_not_promoted_again_before_a_person_releases_it(scene: Scene) -> None:
    scene.world.behave(V2, error_share=0.5)
    await scene.roll_out()
    scene.world.behave(V2, error_share=0.0)
    again = request(V2, run_id="again")
    with pytest.raises(GateClosed, match="ops release-digest llm-service"):
        await scene.controller().open(again)
    (held,) = scene.ledger.hold_table.lines
    released = replace(held, held=False, by="devops", rollout_id=None)
    entry = replace(scene.ledger.journal_table.entries[-1], what="ReleaseDigest", rollout_id=None)
    await scene.ledger.hold_table.release(released, entry)
    assert await scene.controller().open(again)


async def test_d6_what_a_person_stopped_before_any_traffic_may_be_tried_again(scene: Scene) -> None:
    controller = scene.controller()

    async def abort_and_retry() -> None:
        rollout_id = await controller.open(request(V2))
        await controller.abort(rollout_id, by="developer", why="wrong day")
        await controller.drive(rollout_id, goal=Phase.ROLLED_BACK, holder="ops")
        again = await controller.open(request(V2, run_id="again"))
        await controller.drive(again, goal=Phase.PROMOTED, holder="triggerer")

    await scene.clock.run(abort_and_retry())
    assert scene.row().phase is Phase.PROMOTED


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"failing_probes": 0.7}, "health checks failed"),
        ({"memory": 0.97}, "memory: 0.97 (limit 0.95"),
    ],
)
async def test_probes_and_memory_take_a_release_back(scene: Scene, how: dict[str, float], said: str) -> None:
    scene.world.behave(V2, **how)
    view = await scene.roll_out(plan=replace(PLAN, steps=PLAN.steps[-1:]))
    assert view.phase is Phase.ROLLED_BACK
    assert said in view.reason


async def test_an_environment_without_traffic_gets_load_where_the_catalog_says_so(scene: Scene) -> None:
    scene.world.rate = 0.0
    sent = []
    original = scene.world.request

    async def count(*arguments: object, **named: object) -> object:
        sent.append(named.get("colour"))
        return await original(*arguments, **named)

    scene.world.request = count
    plan = quick(on_insufficient_samples=OnInsufficientSamples.GENERATE, extension=timedelta(minutes=1))
    view = await scene.roll_out(plan=plan)
    assert view.phase is Phase.ROLLED_BACK
    assert sent.count(Colour.GREEN) > 100


async def test_the_standby_reclaims_the_old_colour_after_the_warm_window(scene: Scene) -> None:
    await scene.roll_out(plan=quick(warm=timedelta(minutes=30)))
    await _stand_by(scene, timedelta(minutes=40))
    assert scene.row().phase is Phase.RECLAIMED
    assert set(scene.world.deployments) == {Colour.GREEN}


async def test_a_breach_in_the_warm_window_goes_back_and_pages(scene: Scene) -> None:
    await scene.roll_out(plan=quick())
    scene.clock.at(timedelta(hours=1), lambda: scene.world.behave(V2, error_share=0.3))
    await _stand_by(scene, timedelta(hours=1, minutes=10))
    assert scene.row().phase is Phase.ROLLED_BACK
    assert scene.world.weights == OLD_ONLY
    pages = [queued.page for queued in scene.ledger.outbox_table.pages.values()]
    assert [page.title for page in pages] == ["llm-service 1.2.0-00000000 in production was rolled back"]
    assert "error-rate" in pages[0].happened


async def test_a_route_moved_by_hand_in_the_warm_window_is_paged_and_stays(scene: Scene) -> None:
    await scene.roll_out(plan=quick())
    by_hand = Weights(blue=50, green=50)
    scene.clock.at(timedelta(hours=1), lambda: setattr(scene.world, "weights", by_hand))
    await _stand_by(scene, timedelta(hours=3))
    assert scene.row().phase is Phase.WARM
    assert scene.world.weights == by_hand
    (held,) = [p.page for p in scene.ledger.outbox_table.pages.values() if "decision" in p.page.title]
    assert "somebody moved the route" in held.happened
    assert "Without a decision it stays as it is." in held.todo


async def test_airflow_is_told_once_of_a_rollback_that_nobody_asked_for(scene: Scene) -> None:
    await scene.roll_out(plan=quick())
    scene.clock.at(timedelta(hours=1), lambda: scene.world.behave(V2, error_share=0.3))
    await _stand_by(scene, timedelta(hours=1, minutes=10))
    await _stand_by(scene, timedelta(minutes=10))
    (report,) = scene.ledger.report_table.kept.values()
    assert report.dag_id == "rollback_llm-service_production"
    assert report.run_id == f"controller__{scene.row().id}"


async def test_a_rollback_that_a_person_asked_for_is_not_reported(scene: Scene) -> None:
    view = await scene.roll_out(plan=quick())
    wish = scene.controller().request_rollback(view.rollout_id, by="oncall", why="wrong results")
    scene.clock.at(timedelta(hours=1), lambda: asyncio.ensure_future(wish))
    await _stand_by(scene, timedelta(hours=2))
    assert scene.row().phase is Phase.ROLLED_BACK
    assert scene.ledger.report_table.kept == {}


async def test_a_rollback_in_the_promotions_own_run_is_not_reported(scene: Scene) -> None:
    """That run is red already."""
    scene.world.behave(V2, error_share=0.3)
    assert (await scene.roll_out()).phase is Phase.ROLLED_BACK
    await _stand_by(scene, timedelta(minutes=10))
    assert scene.ledger.report_table.kept == {}


async def test_a_chat_that_never_answers_delays_no_takeover(scene: Scene) -> None:
    """The lease of the dead holder runs out after 10 s."""
    with pytest.raises(Killed):
        await scene.roll_out(process=CrashAt(label="after-effect:Deploy"))
    await scene.clock.run(scene.ledger.connection().rollouts.raise_goal(scene.row().id, Phase.PROMOTED))
    stop = asyncio.Event()
    scene.clock.at(timedelta(hours=1), stop.set)
    standby = scene.controller().standby("standby", stop, [asyncio.Event().wait])
    began = scene.clock.now()
    await scene.clock.run(standby)
    taken = next(e for e in scene.ledger.journal_table.entries if e.actor == "standby")
    assert taken.at - began <= timedelta(seconds=15)
    assert scene.row().phase.reached(Phase.PROMOTED)


async def test_a_preview_that_everybody_forgot_is_removed(scene: Scene) -> None:
    await scene.roll_out(goal=Phase.VERIFYING)
    await _stand_by(scene, timedelta(hours=2))
    assert scene.row().phase is Phase.ROLLED_BACK
    assert set(scene.world.deployments) == {Colour.BLUE}


async def test_a_catalog_change_in_mid_rollout_changes_nothing(scene: Scene) -> None:
    """The row holds the plan: a second open of the same run takes no other one."""
    first = await scene.roll_out(goal=Phase.VERIFYING)
    second = await scene.roll_out(goal=Phase.PROMOTED, plan=quick(replicas=7))
    assert second.rollout_id == first.rollout_id
    assert second.rollout.plan.replicas == PLAN.replicas
    assert second.rollout.target == TARGET


async def _stand_by(scene: Scene, long: timedelta) -> None:
    stop = asyncio.Event()
    scene.clock.at(long, stop.set)
    await scene.clock.run(scene.controller().standby("standby", stop))
