"""A schema migration before the preview: it runs once, harms nobody who serves, and is never taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import CrashAt, Killed, seconds
from rollout_scenes import PLAN, V1, V2, V3, Scene, migrating, quick, request

from platform_ops.core.migration import Migration
from platform_ops.core.paging import ended_badly_page
from platform_ops.core.plan import Plan
from platform_ops.core.release import Colour, Weights
from platform_ops.core.schema import broken_by
from platform_ops.core.state import CheckReport, Phase

JOB = "llm-service-migrate-2"
OLD_ONLY = Weights(100, 0)


@pytest.fixture
def scene() -> Scene:
    return Scene().with_v1()


def page(scene: Scene) -> str:
    """What the standby would write of the rollout's end."""
    return ended_badly_page(scene.row()).text


async def let_go(scene: Scene) -> None:
    """A named person ends the hold of what went back."""
    (held,) = scene.ledger.hold_table.lines
    released = replace(held, held=False, by="devops", rollout_id=None)
    entry = replace(scene.ledger.journal_table.entries[-1], what="ReleaseDigest", rollout_id=None)
    await scene.ledger.hold_table.release(released, entry)


async def test_the_schema_comes_first_and_the_old_colour_is_proven_on_it(scene: Scene) -> None:
    assert (await scene.roll_out(plan=migrating(quick()))).phase is Phase.PROMOTED
    assert scene.world.effects[:2] == [f"migrate {JOB}", f"deploy green {V2}"]
    assert scene.journal()[1:11] == [
        ("done", "Enter"),
        ("intent", "Baseline"),
        ("done", "Baseline"),
        ("intent", "Migrate"),
        ("done", "Migrate"),
        ("intent", "VerifyOld"),
        ("done", "VerifyOld"),
        ("intent", "Deploy"),
        ("done", "Deploy"),
        ("done", "Enter"),
    ]


async def test_a_first_release_has_nobody_whom_the_schema_could_harm() -> None:
    scene = Scene()
    scene.world.approved.add(V1)
    assert (await scene.roll_out(V1, plan=migrating())).phase is Phase.PROMOTED
    assert scene.world.effects == [f"migrate {JOB}", f"deploy blue {V1}", "shift blue 100 green 0"]


async def test_a_migration_that_fails_is_told_with_its_log_and_nothing_is_deployed(scene: Scene) -> None:
    scene.world.migration_fails = 'exit 2: column "risk" does not exist'
    view = await scene.roll_out(plan=migrating())
    assert view.phase is Phase.ROLLED_BACK
    assert view.reason == (f'the schema migration {JOB} failed: exit 2: column "risk" does not exist')
    assert scene.world.effects == [f"migrate {JOB}"]
    assert scene.world.weights == OLD_ONLY


async def test_a_migration_that_breaks_the_old_colour_ends_before_the_preview(scene: Scene) -> None:
    scene.world.migration_breaks = {V1: "500"}
    view = await scene.roll_out(plan=migrating())
    assert view.phase is Phase.ROLLED_BACK
    assert "blue fails its checks since the schema migration" in view.reason
    assert "GET /health: 500 instead of 200" in view.reason
    assert scene.world.effects == [f"migrate {JOB}"]
    assert f"Nothing is migrated down: what the schema migration {JOB} changed stays." in page(scene)


async def test_an_old_colour_that_was_broken_before_does_not_stop_its_repair(scene: Scene) -> None:
    scene.world.behave(V1, checks="500")
    assert (await scene.roll_out(plan=migrating(quick()))).phase is Phase.PROMOTED


async def test_a_migration_that_never_ends_is_given_up_soon_after_its_deadline(scene: Scene) -> None:
    scene.world.migration_takes = None
    began = scene.clock.now()
    view = await scene.roll_out(plan=migrating())
    assert view.phase is Phase.ROLLED_BACK
    assert view.reason == f"the schema migration {JOB} runs, longer than its 300 s"
    assert scene.clock.now() - began <= timedelta(minutes=7)


async def test_a_slow_migration_does_not_eat_the_time_of_the_pods(scene: Scene) -> None:
    scene.world.migration_takes = timedelta(minutes=4)
    plan = quick(deploy_deadline=timedelta(minutes=1))
    assert (await scene.roll_out(plan=migrating(plan))).phase is Phase.PROMOTED


async def test_a_rollback_under_traffic_says_that_the_schema_stays(scene: Scene) -> None:
    scene.world.behave(V2, error_share=0.5)
    assert (await scene.roll_out(plan=migrating())).phase is Phase.ROLLED_BACK
    assert "passed its checks. The new version was removed. Nothing is migrated down" in page(scene)
    assert [effect for effect in scene.world.effects if "migrate" in effect] == [f"migrate {JOB}"]


async def test_the_same_digest_is_not_migrated_twice_unless_it_failed(scene: Scene) -> None:
    scene.world.behave(V2, checks="500")
    assert (await scene.roll_out(plan=migrating())).phase is Phase.ROLLED_BACK
    scene.world.behave(V2, checks="")

    async def again(run_id: str) -> Phase:
        await let_go(scene)
        controller = scene.controller()
        rollout_id = await controller.open(request(V2, migrating(quick()), run_id))
        return (await controller.drive(rollout_id, goal=Phase.PROMOTED, holder="triggerer")).phase

    assert await scene.clock.run(again("again")) is Phase.PROMOTED
    assert scene.world.effects.count(f"migrate {JOB}") == 1


async def test_one_that_failed_for_an_earlier_rollout_is_tried_again(scene: Scene) -> None:
    scene.world.migration_fails = "exit 1"
    assert (await scene.roll_out(plan=migrating())).phase is Phase.ROLLED_BACK
    scene.world.migration_fails = ""

    async def again() -> Phase:
        await let_go(scene)
        controller = scene.controller()
        rollout_id = await controller.open(request(V2, migrating(quick()), "again"))
        return (await controller.drive(rollout_id, goal=Phase.PROMOTED, holder="triggerer")).phase

    assert await scene.clock.run(again()) is Phase.PROMOTED
    assert scene.world.effects.count(f"migrate {JOB}") == 2


@pytest.mark.parametrize("act", ["Baseline", "Migrate", "VerifyOld", "Deploy"])
@pytest.mark.parametrize("where", ["after-intent", "after-effect", "after-outcome"])
async def test_whoever_goes_on_migrates_once(scene: Scene, act: str, where: str) -> None:
    plan = migrating(quick())
    with pytest.raises(Killed):
        await scene.roll_out(plan=plan, process=CrashAt(label=f"{where}:{act}"), holder="the one that dies")
    assert (await scene.roll_out(plan=plan, holder="the next one")).phase is Phase.PROMOTED
    assert scene.world.effects.count(f"migrate {JOB}") == 1
    assert scene.world.effects.count(f"deploy green {V2}") == 1


async def test_a_registry_that_is_away_is_waited_for(scene: Scene) -> None:
    scene.world.away.add("images")
    scene.clock.at(timedelta(minutes=3), scene.world.away.clear)
    assert (await scene.roll_out(plan=quick())).phase is Phase.PROMOTED


async def test_a_registry_that_stays_away_ends_it_before_traffic_with_its_words(scene: Scene) -> None:
    scene.world.away.add("images")
    began = scene.clock.now()
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert view.reason == "not checked within 600 s: images does not answer"
    assert scene.clock.now() - began <= timedelta(minutes=11)
    assert scene.world.effects == [f"deploy green {V2}", "remove green"]


async def test_an_image_that_lost_a_blob_goes_back_at_once(scene: Scene) -> None:
    scene.world.lost_blobs.add(V2)
    began = scene.clock.now()
    view = await scene.roll_out()
    assert view.phase is Phase.ROLLED_BACK
    assert "Verify was refused: " in view.reason
    assert "push the image again" in view.reason
    assert scene.clock.now() - began <= seconds(30)
    assert scene.shifts() == []


async def test_another_release_has_a_job_of_its_own(scene: Scene) -> None:
    assert (await scene.roll_out(plan=migrating(quick()))).phase is Phase.PROMOTED
    scene.world.approved.add(V3)
    view = await scene.roll_out(V3, plan=migrating(quick(), "llm-service-migrate-3"))
    assert view.phase is Phase.PROMOTED
    assert scene.world.effects.count("migrate llm-service-migrate-3") == 1


def test_a_plan_keeps_its_migration_and_an_older_one_has_none() -> None:
    plan = replace(PLAN, migration=Migration(JOB, seconds(90), ({"kind": "Job"},)))
    assert Plan.from_json(plan.to_json()) == plan
    older = PLAN.to_json()
    del older["migration"]
    assert Plan.from_json(older) == PLAN


HEALTH, ANALYZE = "GET /health: 500 instead of 200", "POST /analyze: no answer (refused)"


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        ((), (), ()),
        ((), (HEALTH,), (HEALTH,)),
        ((HEALTH,), ("GET /health: no answer (refused)",), ()),
        ((HEALTH,), (HEALTH, ANALYZE), (ANALYZE,)),
        ((HEALTH,), (), ()),
    ],
)
def test_only_what_passed_before_can_have_been_broken(
    before: tuple[str, ...], after: tuple[str, ...], broken: tuple[str, ...]
) -> None:
    def report(failures: tuple[str, ...]) -> CheckReport:
        return CheckReport(Colour.BLUE, 2, failures, Scene().clock.now())

    assert broken_by(report(before), report(after)) == broken


def test_an_old_colour_without_checks_is_not_proven() -> None:
    report = CheckReport(Colour.BLUE, 0, (), Scene().clock.now())
    assert broken_by(report, report) != ()
