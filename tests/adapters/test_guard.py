"""The guard with a real ledger: what lets a release start, and what no longer stops one that has traffic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from fakes import MIDNIGHT, ManualClock, World, WorldMigrations, seconds
from rollout_scenes import PLAN, TARGET, V1, V2, V3, release, request

from platform_ops.adapters.clock import SystemClock
from platform_ops.adapters.ledger import Ledger
from platform_ops.adapters.ledger.guard import LedgerApprovals
from platform_ops.controller.driving import entry_of
from platform_ops.controller.rollouts import NoCrashPoints, Ports, RolloutController
from platform_ops.controller.views import RolloutView
from platform_ops.core.approvals import ApprovalRule, QuorumResult, Vote
from platform_ops.core.errors import NotApproved
from platform_ops.core.paging import ended_badly_page
from platform_ops.core.plan import Plan, Step
from platform_ops.core.records import Promotion
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Phase

SEATS = (("senior_developer", "senior1"), ("senior_developer", "senior2"), ("devops", "devops"))
DAY = timedelta(days=1)
SHORT: Plan = replace(PLAN, triggers=())


@dataclass
class Desk:
    """A promotion of V2 that was asked for, its gates, the people, and the guard."""

    ledger: Ledger
    clock: ManualClock
    world: World
    promotion: Promotion
    pools: dict[str, set[str]] = field(
        default_factory=lambda: {"senior_developer": {"senior1", "senior2"}, "devops": {"devops"}}
    )

    seats: tuple[tuple[str, str], ...] = SEATS

    @property
    def guard(self) -> LedgerApprovals:
        return LedgerApprovals(self.ledger, self.clock, lambda role: self.pools[role])

    @property
    def rule(self) -> ApprovalRule:
        pools = {role: frozenset(users) for role, users in self.pools.items()}
        return ApprovalRule({"senior_developer": 2, "devops": 1}, pools, expires=DAY)

    async def gate(self, gate: str, outcome: str, subject: str = "") -> None:
        await self.ledger.gates.record(
            service="llm-service",
            subject=subject or self.promotion.commit,
            gate=gate,
            outcome=outcome,
            detail={},
        )

    async def asks(self) -> None:
        """Everybody is shown what there is now."""
        evidence = await self.ledger.evidence(self.promotion)
        for role, user in self.seats:
            await self.ledger.approvals.show(self.promotion, f"{role}/{user}", evidence, self.clock.now())

    async def counts(self) -> QuorumResult:
        """Everybody answers now, and the answers are counted now."""
        now = self.clock.now()
        votes = [
            Vote(
                role,
                user,
                "Approve",
                now + timedelta(microseconds=number),
                await self.ledger.approvals.shown(self.promotion, f"{role}/{user}", now),
            )
            for number, (role, user) in enumerate(self.seats)
        ]
        self.clock.advance(seconds(1))
        return await self.ledger.approvals.record(
            self.promotion,
            votes=votes,
            rule=self.rule,
            authors=(),
            now=self.clock.now(),
            evidence=await self.ledger.evidence(self.promotion),
        )

    async def approved(self) -> None:
        await self.asks()
        assert (await self.counts()).met

    @property
    def controller(self) -> RolloutController:
        world = self.world
        return RolloutController(
            Ports(
                world,
                world,
                world,
                world,
                self.ledger,
                self.clock,
                NoCrashPoints(),
                world,
                WorldMigrations(world),
            )
        )

    async def opened(self) -> str:
        asked = replace(request(V2, SHORT), run_id=self.promotion.run_id, promotion_id=self.promotion.id)
        return await self.controller.open(asked)

    async def shifted(self, kind: str, what: str = "Shift", percent: int = 5) -> None:
        """What the controller writes of a shift of this rollout: its intent, or that it was done."""
        rollout = await self.ledger.rollouts.get(await self.opened())
        rollout = replace(rollout, weights=Weights.towards(rollout.colour, percent))
        await self.ledger.journal.write(entry_of(rollout, self.clock.now(), "triggerer", kind, what, "test"))

    async def refusal(self, digest: str = V2) -> str:
        with pytest.raises(NotApproved) as refused:
            await self.guard.ensure_allowed(TARGET, digest)
        return str(refused.value)


@pytest.fixture
async def desk(ledger: Ledger) -> Desk:
    clock: ManualClock = ledger.promotions._clock
    world = World(clock)
    world.serve(Colour.BLUE, V1)
    of = release(V2)
    promotion = await ledger.promotions.open(
        dag_id="promote_llm-service_production", run_id="run-2", service="llm-service",
        environment="production", commit=of.commit, version=of.version, digest=V2,
        requested_by="developer", url="",
    )  # fmt: skip
    made = Desk(ledger, clock, world, promotion)
    await made.gate("source", "passed")
    await made.gate("image", "passed", subject=V2)
    return made


Event = Callable[[Desk], Awaitable[None]]


async def a_gate_fails(desk: Desk) -> None:
    await desk.gate("source", "failed")


async def the_image_fails(desk: Desk) -> None:
    await desk.gate("image", "failed", subject=V2)


async def a_new_gate_fails(desk: Desk) -> None:
    await desk.gate("unit", "not_run")


async def a_day_passes(desk: Desk) -> None:
    desk.clock.advance(DAY)


async def an_approver_leaves(desk: Desk) -> None:
    desk.pools["devops"].clear()


VOIDING = [
    pytest.param(a_gate_fails, "gate source was passed, is failed now: ask again", id="gate-of-the-commit"),
    pytest.param(the_image_fails, "gate image was passed, is failed now: ask again", id="gate-of-the-digest"),
    pytest.param(a_new_gate_fails, "gate unit was not shown, is not_run now: ask again", id="new-gate"),
    pytest.param(a_day_passes, "the vote of senior1 expired at 2026-01-02 00:00:00 UTC", id="expired"),
    pytest.param(an_approver_leaves, "devops does not hold the role devops", id="approver-left"),
]


async def nothing(desk: Desk) -> None:
    return


async def a_gate_runs_again(desk: Desk) -> None:
    await desk.gate("source", "passed")


async def a_new_gate_passes(desk: Desk) -> None:
    await desk.gate("unit", "passed")


async def another_release_fails(desk: Desk) -> None:
    await desk.gate("source", "failed", subject=release(V3).commit)


@pytest.mark.parametrize("event", [nothing, a_gate_runs_again, a_new_gate_passes, another_release_fails])
async def test_a_release_starts_on_votes_that_stand(desk: Desk, event: Event) -> None:
    await desk.approved()
    await event(desk)
    await desk.guard.ensure_allowed(TARGET, V2)


@pytest.mark.parametrize(("event", "why"), VOIDING)
async def test_a_release_does_not_start_on_votes_that_are_void(desk: Desk, event: Event, why: str) -> None:
    await desk.approved()
    await event(desk)
    assert why in await desk.refusal()
    (void, *_) = await desk.ledger.approvals.voids(desk.promotion.id)
    assert (void.digest, void.at) == (V2, desk.clock.now())


@pytest.mark.parametrize(("event", "why"), VOIDING)
async def test_a_release_that_has_traffic_goes_on_under_its_grant(desk: Desk, event: Event, why: str) -> None:
    await desk.approved()
    await desk.shifted("done")
    await event(desk)
    await desk.guard.ensure_allowed(TARGET, V2)
    assert await desk.ledger.approvals.voids(desk.promotion.id) == ()


@pytest.mark.parametrize(("event", "why"), VOIDING)
async def test_going_back_never_asks(desk: Desk, event: Event, why: str) -> None:
    """V2 serves, V3 is on its way: whatever happened to V2's votes since, traffic goes back to it."""
    await desk.approved()
    desk.world.deployments[Colour.BLUE].digest = V2
    await desk.controller.open(replace(request(V3, SHORT), promotion_id=None))
    await event(desk)
    await desk.guard.ensure_allowed(TARGET, V2)


@pytest.mark.parametrize(("event", "why"), VOIDING)
async def test_a_start_that_was_only_intended_is_no_start(desk: Desk, event: Event, why: str) -> None:
    """The holder died between the intent and the patch: the next one asks again."""
    await desk.approved()
    await desk.shifted("intent")
    await event(desk)
    assert why in await desk.refusal()


async def test_traffic_that_was_seen_is_a_start_although_its_holder_died_before_it_said_so(
    desk: Desk,
) -> None:
    await desk.approved()
    await desk.shifted("intent")
    await desk.shifted("done", "Confirm")
    await an_approver_leaves(desk)
    await desk.guard.ensure_allowed(TARGET, V2)


async def test_a_release_that_went_back_starts_only_on_votes_that_stand(desk: Desk) -> None:
    await desk.approved()
    await desk.shifted("done")
    rollout = await desk.ledger.rollouts.get(await desk.opened())
    await desk.ledger.promotions.finish(desk.promotion.id, "rolled_back")
    held = await desk.ledger.rollouts.claim(rollout.id, "one", MIDNIGHT, MIDNIGHT + seconds(1))
    await desk.ledger.rollouts.save(replace(held, phase=Phase.ROLLED_BACK))
    await desk.guard.ensure_allowed(TARGET, V2)
    await a_day_passes(desk)
    assert "expired" in await desk.refusal()


async def test_what_was_void_stays_void_although_the_gate_passes_again(desk: Desk) -> None:
    await desk.approved()
    await a_gate_fails(desk)
    await desk.refusal()
    await desk.gate("source", "passed")
    assert "gate source was passed, is failed now" in await desk.refusal()


async def test_another_digest_has_no_votes_at_all(desk: Desk) -> None:
    """D17: a tag that was moved names another digest."""
    await desk.approved()
    assert f"no approval of {V3}" in await desk.refusal(V3)


async def test_a_vote_on_outcomes_that_changed_before_the_count_does_not_count(desk: Desk) -> None:
    await desk.asks()
    await a_gate_fails(desk)
    result = await desk.counts()
    assert not result.met
    assert "the vote of senior1 is void: gate source was passed, is failed now: ask again" in result.refused
    assert await desk.ledger.approvals.granted("llm-service", "production", V2) is None
    assert len(await desk.ledger.approvals.voids(desk.promotion.id)) == 3
    await desk.gate("source", "passed")
    await desk.approved()
    await desk.guard.ensure_allowed(TARGET, V2)


async def test_the_ledger_says_on_what_evidence_it_was_approved(desk: Desk) -> None:
    await desk.approved()
    shown = await desk.ledger.evidence(desk.promotion)
    grant = await desk.ledger.approvals.granted("llm-service", "production", V2)
    assert grant is not None
    assert (grant.evidence, grant.expires) == (shown, DAY)
    assert [one.gate for one in shown.outcomes] == ["image", "source"]
    assert {vote.evidence.fingerprint for vote in await desk.ledger.approvals.votes(desk.promotion.id)} == {
        shown.fingerprint
    }


@pytest.mark.parametrize(
    "seats",
    [
        pytest.param((*SEATS[:2], ("devops", "senior1")), id="one-person-in-two-roles"),
        pytest.param((SEATS[0], SEATS[0], SEATS[2]), id="one-person-in-two-seats"),
    ],
)
async def test_one_person_is_one_vote_whatever_roles_they_hold(
    desk: Desk, seats: tuple[tuple[str, str], ...]
) -> None:
    desk.pools["devops"].add("senior1")
    desk.seats = seats
    await desk.asks()
    result = await desk.counts()
    assert not result.met
    assert "senior1 answered twice; one person is one vote" in result.refused
    assert len(result.missing) == 1
    assert await desk.ledger.approvals.granted("llm-service", "production", V2) is None
    assert "let the people that the catalog names approve it" in await desk.refusal()


AT_ONCE: Plan = replace(
    SHORT, steps=tuple(Step(step.weight, seconds(0)) for step in PLAN.steps), bake=seconds(0)
)


@dataclass
class Course:
    """The desk's promotion as a rollout whose router asks the real guard."""

    desk: Desk
    world: World = field(init=False)
    controller: RolloutController = field(init=False)

    def __post_init__(self) -> None:
        clock = SystemClock()
        self.world = world = World(clock, guard=self.desk.guard)
        world.serve(Colour.BLUE, V1)
        world.behave(V2, ready_after=seconds(0))
        ledger, migrations = self.desk.ledger, WorldMigrations(world)
        self.controller = RolloutController(
            Ports(world, world, world, world, ledger, clock, NoCrashPoints(), world, migrations)
        )

    async def to(self, goal: Phase) -> RolloutView:
        promotion = self.desk.promotion
        asked = replace(request(V2, AT_ONCE), run_id=promotion.run_id, promotion_id=promotion.id)
        rollout_id = await self.controller.open(asked)
        return await self.controller.drive(rollout_id, goal=goal, holder="triggerer")


@pytest.mark.parametrize(("event", "why"), VOIDING)
async def test_votes_that_are_void_before_the_first_step_end_the_rollout_without_traffic(
    desk: Desk, event: Event, why: str
) -> None:
    await desk.approved()
    course = Course(desk)
    assert (await course.to(Phase.SHIFTING)).phase is Phase.SHIFTING
    await event(desk)
    view = await course.to(Phase.PROMOTED)
    assert view.phase is Phase.ROLLED_BACK
    assert why in view.reason
    assert course.world.effects == [f"deploy green {V2}", "remove green"]
    assert course.world.weights == Weights(100, 0)
    assert "promote again" in ended_badly_page(view.rollout).todo


async def test_an_approver_who_leaves_in_mid_shift_stops_nothing(desk: Desk) -> None:
    await desk.approved()
    course = Course(desk)

    def leave() -> None:
        if course.world.effects[-1] == "shift blue 95 green 5":
            desk.pools["devops"].clear()

    course.world.after_effect = leave
    assert (await course.to(Phase.PROMOTED)).phase is Phase.PROMOTED
    assert not desk.pools["devops"]
    assert course.world.weights == Weights(0, 100)
