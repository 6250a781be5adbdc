"""The process dies at any labelled point, another one goes on: the same end, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from fakes import CrashAt, Killed, seconds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rollout_scenes import V1, V2, Scene, quick, request

from platform_ops.adapters.lease import LEASE
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Phase

TAKEOVER = seconds(30)


@dataclass(frozen=True)
class History:
    """How the world is, and where the rollout ends when nobody dies."""

    arrange: Callable[[Scene], None]
    ends: Phase
    weights: Weights
    first: bool = False
    goal: Phase = Phase.PROMOTED


def _good(scene: Scene) -> None:
    scene.world.rate = 1000.0


def _bad_preview(scene: Scene) -> None:
    scene.world.behave(V2, checks="500")


def _errors(scene: Scene) -> None:
    scene.world.rate = 1000.0
    scene.world.behave(V2, error_share=1.0)


def _errors_and_small_old_colour(scene: Scene) -> None:
    _errors(scene)
    scene.world.deployments[Colour.BLUE].replicas = 1


def _refused(scene: Scene) -> None:
    scene.world.approved.discard(V2)


OLD, NEW = Weights(100, 0), Weights(0, 100)
HISTORIES = [
    pytest.param(History(_good, Phase.PROMOTED, NEW), id="good"),
    pytest.param(History(_bad_preview, Phase.ROLLED_BACK, OLD), id="bad-preview"),
    pytest.param(History(_errors, Phase.ROLLED_BACK, OLD), id="errors-under-traffic"),
    pytest.param(
        History(_errors_and_small_old_colour, Phase.ROLLED_BACK, OLD), id="errors-and-a-small-old-colour"
    ),
    pytest.param(History(_refused, Phase.ROLLED_BACK, OLD), id="not-approved"),
    pytest.param(History(_good, Phase.PROMOTED, OLD, first=True), id="first-release"),
]


def the_scene(history: History) -> Scene:
    scene = Scene()
    if not history.first:
        scene.with_v1()
    scene.world.approved.add(V2)
    history.arrange(scene)
    return scene


async def undisturbed(history: History) -> tuple[Scene, list[str]]:
    scene, process = the_scene(history), CrashAt()
    view = await scene.roll_out(plan=quick(), process=process)
    assert view.phase is history.ends
    return scene, process.reached


@pytest.mark.parametrize("history", HISTORIES)
async def test_whoever_goes_on_comes_to_the_same_end_and_does_nothing_twice(history: History) -> None:
    model, labels = await undisturbed(history)
    assert len(labels) >= 6
    for number, label in enumerate(labels, start=1):
        scene = the_scene(history)
        with pytest.raises(Killed):
            await scene.roll_out(plan=quick(), process=CrashAt(number), holder="the one that dies")
        died_at = scene.clock.now()
        view = await scene.roll_out(plan=quick(), holder="the next one")
        assert view.phase is history.ends, label
        assert scene.world.weights == history.weights, label
        assert scene.world.effects == model.world.effects, label
        assert _taken_over_at(scene) - died_at <= TAKEOVER, label


def _taken_over_at(scene: Scene) -> object:
    """When the next holder first wrote anything; when there was nothing left to do, when it looked."""
    wrote = [e.at for e in scene.ledger.journal_table.entries if e.actor == "the next one"]
    return wrote[0] if wrote else scene.clock.now() - timedelta(minutes=1)


async def test_the_standby_takes_over_from_a_holder_that_died_in_mid_shift() -> None:
    scene = the_scene(History(_good, Phase.PROMOTED, NEW))
    with pytest.raises(Killed):
        await scene.roll_out(plan=quick(), process=CrashAt(label="after-effect:Shift"), holder="triggerer")
    died_at = scene.clock.now()
    stop = asyncio.Event()
    scene.clock.at(timedelta(minutes=2), stop.set)
    await scene.clock.run(scene.controller().standby("standby", stop))
    first = next(e for e in scene.ledger.journal_table.entries if e.actor == "standby")
    assert first.at - died_at <= LEASE + seconds(5)
    assert scene.row().phase is Phase.PROMOTED


async def test_two_copies_of_the_same_trigger_do_everything_once() -> None:
    scene = the_scene(History(_good, Phase.PROMOTED, NEW))
    controller = scene.controller()

    async def both() -> None:
        rollout_id = await controller.open(request(V2, quick()))
        await asyncio.gather(
            *(controller.drive(rollout_id, goal=Phase.PROMOTED, holder=f"copy {n}") for n in (1, 2))
        )

    await scene.clock.run(both())
    assert len(scene.shifts()) == 4
    assert len([e for e in scene.world.effects if e.startswith("deploy")]) == 1


async def test_a_cancelled_holder_gives_its_lease_back_at_once() -> None:
    """A triggerer that is shut down in good order must not cost ten seconds."""
    scene = the_scene(History(_good, Phase.PROMOTED, NEW))
    controller = scene.controller()

    async def cancel_and_go_on() -> object:
        rollout_id = await controller.open(request(V2, quick()))
        first = asyncio.ensure_future(controller.drive(rollout_id, goal=Phase.PROMOTED, holder="first"))
        await scene.clock.sleep(seconds(12))
        first.cancel()
        await asyncio.wait((first,))
        left_at = scene.clock.now()
        await controller.drive(rollout_id, goal=Phase.PROMOTED, holder="second")
        return left_at

    left_at = await scene.clock.run(cancel_and_go_on())
    second = next(e for e in scene.ledger.journal_table.entries if e.actor == "second")
    claimed = [e for e in scene.ledger.journal_table.entries if e.actor == "first"]
    assert claimed
    assert second.at - left_at <= seconds(15)
    assert scene.row().phase is Phase.PROMOTED


def test_the_installed_package_has_no_switch_that_makes_it_die() -> None:
    from platform_ops.controller.rollouts import NoCrashPoints

    for label in ("after-intent:Shift", "after-effect:Shift", "after-outcome:Shift", V1):
        NoCrashPoints().reach(label)


DURABLE: dict[str, Callable[[Scene], None]] = {
    "half of the requests fail": lambda scene: scene.world.behave(V2, error_share=0.6),
    "every fifth request fails": lambda scene: scene.world.behave(V2, error_share=0.2),
    "checks of the new version fail": lambda scene: scene.world.behave(V2, checks="500"),
    "all pods of the new version are lost": lambda scene: _lose(scene, Colour.GREEN, 2),
    "one pod of the old version is lost": lambda scene: _lose(scene, Colour.BLUE, 1),
    "all pods of the old version are lost": lambda scene: _lose(scene, Colour.BLUE, 2),
    "the old version is scaled down": lambda scene: _scale_down(scene),
    "memory is used up": lambda scene: scene.world.behave(V2, memory=0.99),
    "probes fail": lambda scene: scene.world.behave(V2, failing_probes=0.8),
    "the approval is withdrawn": lambda scene: scene.world.approved.discard(V2),
}
"""Faults that stay: how long a takeover takes must not change where it ends."""


def _lose(scene: Scene, colour: Colour, number: int) -> None:
    if colour in scene.world.deployments:
        scene.world.lose_pods(colour, number)


def _scale_down(scene: Scene) -> None:
    scene.world.deployments[Colour.BLUE].replicas = 0


Story = tuple[tuple[int, str], ...]
"""After so many effects of the controller in the world, this happens."""

stories = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(sorted(DURABLE))), max_size=3, unique_by=lambda one: one[1]
).map(tuple)


def _told(story: Story) -> Scene:
    scene = Scene().with_v1()
    scene.world.rate = 1000.0
    left = list(story)

    def go_on() -> None:
        for one in [one for one in left if one[0] <= len(scene.world.effects)]:
            left.remove(one)
            DURABLE[one[1]](scene)

    scene.world.after_effect = go_on
    return scene


async def _end_of(scene: Scene, process: CrashAt | None = None) -> tuple[object, ...]:
    view = await scene.roll_out(plan=quick(), process=process)
    running = {colour: one.digest for colour, one in scene.world.deployments.items()}
    return view.phase, scene.world.weights, running


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=stories)
def test_a_history_interrupted_after_any_transition_comes_to_the_same_end(story: Story) -> None:
    asyncio.run(_interrupt_everywhere(story))


async def _interrupt_everywhere(story: Story) -> None:
    undisturbed_run = CrashAt()
    end = await _end_of(_told(story), undisturbed_run)
    for number, label in enumerate(undisturbed_run.reached, start=1):
        if not label.startswith("after-outcome"):
            continue
        scene = _told(story)
        with pytest.raises(Killed):
            await _end_of(scene, CrashAt(number))
        assert await _end_of(scene) == end, (label, number)
