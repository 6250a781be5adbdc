"""A service with v1 on blue, a controller and what a test asks of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from fakes import CrashAt, ManualClock, MemoryLedger, SkewedClock, World, WorldMigrations, seconds

from platform_ops.controller.rollouts import (
    NoCrashPoints,
    Ports,
    RolloutController,
    RolloutRequest,
    RolloutView,
)
from platform_ops.core.migration import Migration
from platform_ops.core.plan import Check, Plan, Step
from platform_ops.core.release import Colour, Release, Target
from platform_ops.core.state import Phase, Rollout
from platform_ops.core.triggers import default_triggers

TARGET = Target("llm-service", "production", "production", "llm-service-prod", "https://api.example.com")
V1, V2, V3 = (f"sha256:{n:064x}" for n in (1, 2, 3))

PLAN = Plan(
    replicas=2,
    steps=tuple(Step(weight, timedelta(minutes=5)) for weight in (5, 25, 50, 100)),
    bake=timedelta(minutes=5),
    warm=timedelta(days=1),
    deploy_deadline=timedelta(minutes=10),
    triggers=default_triggers(),
    checks=(Check("/health"), Check("/analyze", "POST", body='{"text": ""}')),
    manifests=(),
    page_channel="#llm-service-alerts",
)


def release(digest: str) -> Release:
    version = int(digest[-8:], 16)
    return Release("llm-service", f"1.{version}.0", f"{version:040x}", digest)


def request(digest: str, plan: Plan = PLAN, run_id: str | None = None) -> RolloutRequest:
    """What the promotion of that digest asks for; approved by the caller's world or not."""
    of = release(digest)
    return RolloutRequest(
        dag_id="promote_llm-service_production",
        run_id=run_id or f"run-{of.version}",
        promotion_id=f"promotion-{of.version}",
        target=TARGET,
        release=of,
        plan=plan,
        manifests={c: ({"colour": c.value, "digest": digest, "replicas": plan.replicas},) for c in Colour},
        requested_by="developer",
        log_url="http://airflow.example.com/log",
    )


@dataclass
class Scene:
    """One world, one ledger, as many processes as the test starts."""

    clock: ManualClock = field(default_factory=ManualClock)
    of_controller: SkewedClock = field(init=False)
    world: World = field(init=False)
    ledger: MemoryLedger = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(self.clock)
        self.of_controller = SkewedClock(self.clock)
        self.ledger = MemoryLedger(self.clock)

    def with_v1(self) -> Scene:
        self.world.serve(Colour.BLUE, V1)
        self.world.approved.add(V2)
        return self

    def controller(self, process: CrashAt | None = None) -> RolloutController:
        return RolloutController(self.ports(process))

    def ports(self, process: CrashAt | None = None) -> Ports:
        world = self.world
        return Ports(
            world,
            world,
            world,
            world,
            self.ledger.connection(process),
            self.of_controller,
            process or NoCrashPoints(),
            world,
            WorldMigrations(world),
        )

    async def roll_out(
        self,
        digest: str = V2,
        *,
        goal: Phase = Phase.PROMOTED,
        plan: Plan = PLAN,
        process: CrashAt | None = None,
        holder: str = "triggerer",
    ) -> RolloutView:
        controller = self.controller(process)

        async def work() -> RolloutView:
            rollout_id = await controller.open(request(digest, plan))
            return await controller.drive(rollout_id, goal=goal, holder=holder)

        return await self.clock.run(work())

    def row(self) -> Rollout:
        """The newest rollout."""
        return list(self.ledger.rollout_table._rows.values())[-1]

    def journal(self) -> list[tuple[str, str]]:
        return [(entry.kind, entry.what) for entry in self.ledger.journal_table.entries]

    def shifts(self) -> list[str]:
        return [effect for effect in self.world.effects if effect.startswith("shift")]


def quick(plan: Plan = PLAN, **changes: object) -> Plan:
    """The plan with steps of 10 s and everything else as given."""
    steps = tuple(Step(step.weight, seconds(10)) for step in plan.steps)
    return replace(plan, **{"steps": steps, "bake": seconds(10), **changes})


def migrating(plan: Plan = PLAN, job: str = "llm-service-migrate-2") -> Plan:
    """The plan with a schema migration before the preview."""
    return replace(plan, migration=Migration(job, timedelta(minutes=5), ()))
