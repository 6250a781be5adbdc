"""Whatever happens, in whatever order: the invariants of `core.rollout` hold, and the end is a known one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from fakes import CrashAt, seconds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rollout_scenes import V1, V2, Scene, migrating, quick, request

from platform_ops.core.errors import GateClosed, OpsError
from platform_ops.core.plan import Plan
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Phase

PLAN = quick(
    warm=timedelta(minutes=10),
    deploy_deadline=timedelta(minutes=2),
    extension=timedelta(minutes=2),
    hold_limit=timedelta(minutes=1),
)

Event = Callable[[Scene], None]


def _lose(colour: Colour, number: int) -> Event:
    def lose_pods(scene: Scene) -> None:
        if colour in scene.world.deployments:
            scene.world.lose_pods(colour, number)

    return lose_pods


def _scale_old_down(scene: Scene) -> None:
    if Colour.BLUE in scene.world.deployments:
        scene.world.deployments[Colour.BLUE].replicas = 0


def _delete_new(scene: Scene) -> None:
    scene.world.deployments.pop(Colour.GREEN, None)


def _behave(**how: object) -> Event:
    return lambda scene: scene.world.behave(V2, **how)


def _away(port: str) -> Event:
    def go_away(scene: Scene) -> None:
        scene.world.away.add(port)
        scene.ledger.away = scene.ledger.away or port == "ledger"

    return go_away


def _all_back(scene: Scene) -> None:
    scene.world.away.clear()
    scene.ledger.away = False
    scene.world.refuses = ""


def _refuse(scene: Scene) -> None:
    scene.world.refuses = "the namespace's quota is used up"


def _withdraw_approval(scene: Scene) -> None:
    """Nobody may get more traffic for it; what it has, it keeps."""
    scene.world.approved.discard(V2)


def _jump(span: float) -> Event:
    """The clock of whoever drives is set."""

    def jump(scene: Scene) -> None:
        scene.of_controller.off_by += seconds(span)

    return jump


def _move_by_hand(scene: Scene) -> None:
    if {Colour.BLUE, Colour.GREEN} <= scene.world.deployments.keys() and scene.row().moved:
        scene.world.move_by_hand(Weights(60, 40))


def _ask(what: str) -> Event:
    """A person asks for something; being told no is fine."""

    def ask(scene: Scene) -> None:
        async def call() -> None:
            try:
                await getattr(scene.controller(), what)(scene.row().id, by="a person", why="test")
            except OpsError:
                return

        scene.asked = asyncio.ensure_future(call())

    return ask


def _pre_empt(scene: Scene) -> None:
    async def call() -> None:
        try:
            await scene.controller().pre_empt(
                "llm-service", "production", by=("hotfix_llm-service", "hotfix-1"), why="test"
            )
        except OpsError:
            return

    scene.asked = asyncio.ensure_future(call())


EVENTS: dict[str, Event] = {
    "one new pod is lost": _lose(Colour.GREEN, 1),
    "all new pods are lost": _lose(Colour.GREEN, 2),
    "new pods are back": _lose(Colour.GREEN, 0),
    "old pods are lost": _lose(Colour.BLUE, 2),
    "old pods are back": _lose(Colour.BLUE, 0),
    "old colour scaled to 0": _scale_old_down,
    "new colour deleted by hand": _delete_new,
    "errors": _behave(error_share=0.2),
    "no errors": _behave(error_share=0.0),
    "slow": _behave(p95=9.0),
    "checks fail": _behave(checks="500"),
    "metrics away": _away("metrics"),
    "cluster away": _away("workloads"),
    "router away": _away("router"),
    "gateway away": _away("probe"),
    "ledger away": _away("ledger"),
    "registry away": _away("images"),
    "all back": _all_back,
    "memory is used up": _behave(memory=0.99),
    "probes fail": _behave(failing_probes=0.8),
    "the API refuses": _refuse,
    "approval withdrawn": _withdraw_approval,
    "the clock jumps ahead": _jump(90),
    "the clock jumps back": _jump(-90),
    "route moved by hand": _move_by_hand,
    "hold": _ask("hold"),
    "resume": _ask("resume"),
    "roll back": _ask("request_rollback"),
    "a hotfix needs the place": _pre_empt,
}

histories = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from(sorted(EVENTS))), max_size=8, unique_by=lambda e: e[0]
)


def _guard_effects(scene: Scene) -> Callable[[], None]:
    """Asserts after every effect what must hold then."""
    world = scene.world
    before = [world.weights]

    def check() -> None:
        effect, weights = world.effects[-1], world.weights
        assert weights.routed
        for colour, digest, enough in ((Colour.GREEN, V2, PLAN.replicas), (Colour.BLUE, V1, 1)):
            if weights.of(colour) > before[0].of(colour):
                assert world.deployments[colour].digest == digest
                assert digest in world.approved, effect
                assert world._ready(colour) >= enough, effect
        if effect == "remove blue":
            assert scene.row().phase is Phase.WARM
            assert weights == Weights(0, 100)
        if effect == "remove green":
            assert weights.of(Colour.GREEN) == 0, "the new colour goes only without traffic"
        if effect.startswith("deploy") and scene.row().plan.migration is not None:
            assert any(one.startswith("migrate") for one in world.effects[:-1])
        before[0] = weights

    return check


class Witness(CrashAt):
    """Never dies; asserts after every step of a controller what must always hold."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene

    def reach(self, label: str) -> None:
        super().reach(label)
        row, world = self._scene.row(), self._scene.world
        assert row.weights.blue + row.weights.green in (0, 100)
        assert world.weights.blue + world.weights.green == 100
        if row.phase.forward and row.phase not in (Phase.WARM, Phase.RECLAIMED):
            old = world.deployments[Colour.BLUE]
            assert old.digest == V1, "the old colour is not touched before it is reclaimed"
            assert "remove blue" not in world.effects
        if not row.moved:
            assert world.weights == Weights(100, 0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=histories, lag=st.sampled_from([0, 1, 4]), die=st.booleans(), migrate=st.booleans())
def test_every_history_keeps_the_invariants_and_ends_in_a_known_place(
    events: list[tuple[int, str]], lag: int, die: bool, migrate: bool
) -> None:
    asyncio.run(_live_through(events, lag, die, migrating(PLAN) if migrate else PLAN))


async def _live_through(events: list[tuple[int, str]], lag: int, die: bool, plan: Plan) -> None:
    scene = Scene().with_v1()
    world, clock, controller = scene.world, scene.clock, scene.controller(Witness(scene))
    world.rate, world.gateway_lag = 1000.0, seconds(lag)
    world.after_effect = _guard_effects(scene)

    async def story() -> None:
        rollout_id = await controller.open(request(V2, plan))
        for after, name in events:
            clock.at(seconds(after), lambda name=name: EVENTS[name](scene))
        clock.at(seconds(500), lambda: _all_back(scene))
        stop = asyncio.Event()
        clock.at(timedelta(hours=3), stop.set)
        standby = asyncio.ensure_future(controller.standby("standby", stop))
        driving = asyncio.ensure_future(controller.drive(rollout_id, goal=Phase.PROMOTED, holder="triggerer"))
        if die:
            await clock.sleep(seconds(60))
            driving.cancel()
        await asyncio.wait((driving,))
        assert driving.cancelled() or driving.exception() is None
        await standby

    await clock.run(story())
    _check_end(scene)


def _check_end(scene: Scene) -> None:
    row, world = scene.row(), scene.world
    held_after_promotion = row.hold is not None and row.phase.reached(Phase.PROMOTED)
    assert row.phase.terminal or row.phase is Phase.NEEDS_ATTENTION or held_after_promotion, row.phase
    if row.phase is Phase.ROLLED_BACK:
        assert world.weights == Weights(100, 0)
        assert Colour.GREEN not in world.deployments
        assert row.reason
        assert [
            q.page.title for q in scene.ledger.outbox_table.pages.values() if "rolled back" in q.page.title
        ]
    if row.phase is Phase.RECLAIMED:
        assert world.weights == Weights(0, 100)
    if not row.moved:
        assert scene.shifts() == []


async def test_a_person_is_told_no_when_there_is_nothing_to_abort() -> None:
    scene = Scene().with_v1()
    view = await scene.roll_out(plan=PLAN)
    with pytest.raises(GateClosed, match="use rollback"):
        await scene.controller().abort(view.rollout_id, by="oncall", why="too late")
