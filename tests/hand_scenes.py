"""A scene in which people change things by hand: the world as `Hands`, and the standby's handwork on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fakes import MIDNIGHT, World
from rollout_scenes import PLAN, TARGET, V1, V2, Scene, release

from platform_ops.controller.handwork import Handwork
from platform_ops.core.drift import Answer, Seen, Trace
from platform_ops.core.errors import NotApproved
from platform_ops.core.paging import Page
from platform_ops.core.ports import RouteState
from platform_ops.core.release import Colour, Target, Weights
from platform_ops.core.state import Phase, Rollout

ROLLOUT = Rollout(
    id="rollout-1",
    dag_id="promote_llm-service_production",
    run_id="run-1",
    promotion_id=None,
    target=TARGET,
    release=release(V2),
    colour=Colour.GREEN,
    previous_digest=V1,
    plan=PLAN,
    goal=Phase.RECLAIMED,
    requested_by="developer",
    log_url="",
    created_at=MIDNIGHT,
    moved_at=MIDNIGHT,
    entered_at=MIDNIGHT,
    weights=Weights(0, 100),
)
"""Green took all traffic from blue."""


@dataclass
class WorldHands:
    """Marks are made of what is wanted, as generations are."""

    world: World
    namespace: bool = True
    trouble: str = ""

    async def look(self, target: Target) -> Seen:
        world = self.world
        world._answer("workloads")
        found = world.deployments
        route = RouteState(Weights(), 0, self.trouble) if self.trouble else await world.observe(target)
        return Seen(
            route=route,
            selected=world.selected,
            colours={colour: await world.status(target, colour) for colour in Colour},
            namespace=self.namespace,
            service=Trace(f"service:{world.selected}", "kubectl-patch"),
            http_route=Trace(f"route:{world.weights}", "kubectl-edit"),
            deployments={
                colour: Trace(f"{colour}:{one.digest}:{one.replicas}:{one.since}", "kubectl")
                for colour, one in found.items()
            },
        )

    async def ensure_allowed(self, target: Target, digest: str) -> None:
        if digest not in self.world.approved:
            raise NotApproved(digest)


@dataclass
class HandScene:
    scene: Scene
    hands: WorldHands = field(init=False)

    def __post_init__(self) -> None:
        self.hands = WorldHands(self.scene.world)

    def handwork(self, holder: str = "standby-1") -> Handwork:
        return Handwork(self.scene.ports(), self.hands, self.hands, lambda: [TARGET], holder)  # type: ignore[arg-type]

    async def examine(self, handwork: Handwork | None = None) -> list[Answer]:
        return await self.scene.clock.run((handwork or self.handwork()).examine(TARGET))

    def pages(self) -> list[Page]:
        return [queued.page for queued in self.scene.ledger.outbox_table.pages.values()]

    def by_hand(self) -> list[tuple[str, str]]:
        journal = self.scene.ledger.journal_table.entries
        return [(e.kind, e.what) for e in journal if e.what.startswith("ByHand")]
