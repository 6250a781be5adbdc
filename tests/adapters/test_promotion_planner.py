"""The promotion planner over a real ledger that takes no writes, and a world that must stay as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from fakes import ManualClock, World, WorldMigrations
from fakes_outside import FakeCommit, MemoryImages, MemoryRepository
from psycopg import sql
from rollout_scenes import request
from test_admission import FREEZE, NEW, OLD, HurriedClock, admission, passed, promotion

from platform_ops.adapters.follow_ups import FollowUps
from platform_ops.adapters.ledger import Ledger
from platform_ops.adapters.manifests import Manifests
from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.catalog.policy import load_policy
from platform_ops.controller.candidates import Candidates
from platform_ops.controller.gate_inputs import GateInputs
from platform_ops.controller.ports import NoCrashPoints, Ports
from platform_ops.controller.promotion_planner import PromotionPlanner, Question
from platform_ops.controller.promotion_rules import PromotionRules
from platform_ops.controller.rollouts import RolloutController
from platform_ops.core.artefact import labels_of
from platform_ops.core.digest_holds import DigestHold
from platform_ops.core.errors import GateClosed, Unavailable
from platform_ops.core.manifest_diff import Change
from platform_ops.core.ports import ImageFacts
from platform_ops.core.promotion_plan import UNKNOWN, ManifestPlan, NotKnown, PromotionPlan
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour, Target
from platform_ops.core.source import BranchState

ROOT = Path(__file__).parents[2]
POLICY = load_policy(ROOT / "include/config/gate-policy.yaml")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVICE = NEW.service
FILES = {"version": NEW.version}
TARGET = Target(SERVICE, "production", "production", "fm-llm-solver-prod", "https://fm-llm-solver.com")
HEAD = FakeCommit("3" * 40, "developer@example.com", {"version": "1.2.0"})


class AwayRepository(MemoryRepository):
    async def head(self, service: str, branch: str) -> str:
        raise Unavailable("git ls-remote: the forge is away")


@dataclass
class Scene:
    """OLD serves on blue, NEW is what the environment before has verified, HEAD was not built yet."""

    ledger: Ledger
    dsn: str
    owner_dsn: str
    database: str
    clock: ManualClock = field(default_factory=lambda: HurriedClock(NOW))
    world: World = field(init=False)
    images: MemoryImages = field(default_factory=MemoryImages)
    source: MemoryRepository = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(self.clock)
        self.world.serve(Colour.BLUE, OLD.digest)
        self.clock.advance(timedelta(hours=1))
        old, new = (FakeCommit(one.commit, "senior1@example.com", FILES) for one in (OLD, NEW))
        self.source = MemoryRepository({"development": [old, new, HEAD]})
        labels = labels_of(SERVICE, NEW.version, NEW.commit, NOW, "https://git.example.com/solver.git")
        self.images.stored[NEW.digest] = ImageFacts(NEW.digest, 1, labels, "10001")

    async def verified_before(self, environment: str) -> None:
        before = ENVIRONMENTS[ENVIRONMENTS.index(environment) - 1]
        await promotion(self.ledger, NEW, before, "promoted")
        await promotion(self.ledger, OLD, environment, "promoted")
        for one in (OLD, NEW):
            await self.ledger.releases.add(one, built_by_run="build")

    async def plan(
        self,
        environment: str,
        release: str = "",
        *,
        gates_image: str = "gates@sha256:1",
        freeze: bool = False,
    ) -> PromotionPlan:
        """From now on the ledger refuses every write."""
        with psycopg.connect(self.owner_dsn, autocommit=True) as connection:
            name = sql.Identifier(self.database)
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name)
            )
        async with Ledger.connect(self.dsn, self.clock) as ledger:
            planner = self._planner(ledger, gates_image, freeze=freeze)
            return await planner.plan(Question(SERVICE, environment, release, "developer"))

    def _planner(self, ledger: Ledger, gates_image: str, *, freeze: bool) -> PromotionPlanner:
        world, source = self.world, self.source
        # Staging is the same world: whatever serves there is NEW.
        windows = [FREEZE] if freeze else []
        door = admission(ledger, world, self.clock, POLICY, *windows, path="include/config/services.yaml")
        catalog = door.catalog
        follow_ups = FollowUps(ledger, source, self.clock, lambda service: ())
        rules = PromotionRules(ledger, catalog, door, follow_ups, _no_branch, self.images)
        return PromotionPlanner(
            self.ports(ledger),
            catalog,
            POLICY,
            Candidates(ledger, source, catalog),
            GateInputs(source, catalog, POLICY, lambda: gates_image),
            rules,
            Manifests(ROOT / "include/config/manifests", catalog),
            world,
        )

    def ports(self, ledger: Ledger) -> Ports:
        world, migrations = self.world, WorldMigrations(self.world)
        crash = NoCrashPoints()
        return Ports(world, world, world, world, ledger, self.clock, crash, self.images, migrations)


async def _no_branch(service: str, branch: str, commit: str) -> BranchState:
    return BranchState(branch, None)


@pytest.fixture
def scene(ledger: Ledger, owner_dsn: str, ledger_dsn: str, ledger_database: str) -> Scene:
    return Scene(ledger, ledger_dsn, owner_dsn, ledger_database)


def outcomes(found: PromotionPlan) -> Mapping[str, str]:
    return {rule.rule: rule.outcome for rule in found.admission}


def states(found: PromotionPlan) -> Mapping[str, str]:
    assert not isinstance(found.gates, NotKnown)
    return {gate.gate: gate.state for gate in found.gates}


async def test_a_promotion_to_production_is_told_whole_and_leaves_no_trace(scene: Scene) -> None:
    await scene.verified_before("production")
    await passed(scene.ledger, POLICY, but="unit")
    found = await scene.plan("production")
    assert (found.release.name, found.live) == (NEW.name, OLD.name)  # type: ignore[union-attr]
    assert (states(found)["lint"], states(found)["unit"], states(found)["image"]) == (
        "stale",
        "missing",
        "passed",
    )
    assert states(found)["performance"] == "not run"
    assert outcomes(found) == dict.fromkeys(
        ("freeze", "incidents", "staging", "rollout", "hold", "registry", "hotfixes", "branch"), "passed"
    )
    assert found.approval.may_vote == {
        "senior_developer": ("senior2", "senior3", "senior4"),
        "devops": ("devops",),
    }
    assert found.approval.may_not == {
        "senior1": "wrote part of the release",
        "developer": "asked for the release",
    }
    assert [step.weight for step in found.timeline.steps if step.weight] == [5, 25, 50, 100]
    assert isinstance(found.manifests, ManifestPlan)
    assert found.manifests.colour is Colour.GREEN
    assert {one.change for one in found.manifests.changes} == {Change.NEW}
    today = {trigger.name: (trigger.outcome, trigger.value) for trigger in found.triggers}
    assert today["error-rate"] == ("pass", 0.0)
    assert today["memory"] == ("pass", 0.3)
    assert (found.refusals(), found.rejected(), found.unknown()) == ((), (), ())
    assert scene.world.effects == []


async def test_a_result_of_equal_inputs_is_taken_and_one_of_others_is_stale(scene: Scene) -> None:
    await scene.verified_before("production")
    inputs = scene._planner(scene.ledger, "gates@sha256:1", freeze=False).gate_inputs
    for gate, inputs_then in (
        ("lint", await inputs.digest(SERVICE, NEW.commit, "lint")),
        ("types", "others"),
    ):
        for outcome in ("failed", "passed"):
            await scene.ledger.gates.record(
                service=SERVICE,
                subject=OLD.commit if gate == "lint" else NEW.commit,
                gate=gate,
                outcome=outcome,
                detail={},
                input_digest=inputs_then,
            )
    found = await scene.plan("production")
    assert not isinstance(found.gates, NotKnown)
    by_name = {gate.gate: gate for gate in found.gates}
    assert (by_name["lint"].state, by_name["lint"].cached) == ("passed", True)
    assert by_name["types"].state == "stale"


async def test_the_head_of_development_that_has_no_image_says_so_and_needs_nobody(scene: Scene) -> None:
    found = await scene.plan("development")
    assert not isinstance(found.release, NotKnown)
    assert (found.release.name, found.release.digest) == ("1.2.0-33333333", None)
    assert "no image yet" in found.release.note
    assert found.manifests == NotKnown("1.2.0-33333333 has no image yet: its promotion builds it", away=False)
    assert states(found)["image"] == "missing"
    assert (found.approval.quorum, found.triggers) == ({}, ())
    assert outcomes(found) == {"freeze": "passed", "rollout": "passed"}
    assert found.unknown() == ()


async def test_every_rule_that_would_refuse_says_what_to_do(scene: Scene) -> None:
    await scene.verified_before("production")
    await scene.ledger.incidents.open(SERVICE, None, why="errors", by="oncall")
    asked = replace(request(NEW.digest), promotion_id=None, target=TARGET, release=NEW)
    rollout_id = await RolloutController(scene.ports(scene.ledger)).open(asked)
    hold = DigestHold(SERVICE, "production", NEW.digest, True, "controller", "5xx", NOW, rollout_id)
    entry = Entry(SERVICE, "production", NOW, "controller", "note", "HoldDigest")
    await scene.ledger.digest_holds.hold(hold, entry)
    scene.images.stored.clear()
    scene.world.refuses = "spec.replicas: Invalid value"
    found = await scene.plan("production", freeze=True)
    failed = {rule for rule, outcome in outcomes(found).items() if outcome == "failed"}
    assert failed == {"freeze", "incidents", "rollout", "hold", "registry"}
    told = "\n".join(found.refusals())
    for words in (
        "freeze window ice until",
        "ops incident close INC-",
        "ops abort fm-llm-solver production",
        "ops release-digest",
        "is not in the registry",
    ):
        assert words in told
    assert "spec.replicas: Invalid value" in found.rejected()[0]


@pytest.mark.parametrize(
    ("port", "unknown"),
    [
        pytest.param("metrics", {"triggers"}, id="prometheus"),
        pytest.param("workloads", {"manifests", "triggers"}, id="cluster"),
        pytest.param("router", {"manifests", "triggers", "staging"}, id="route"),
    ],
)
async def test_a_system_that_is_away_leaves_its_part_unknown_and_the_rest_is_told(
    scene: Scene, port: str, unknown: set[str]
) -> None:
    await scene.verified_before("production")
    scene.world.away.add(port)
    found = await scene.plan("production")
    seen = {rule for rule, outcome in outcomes(found).items() if outcome == UNKNOWN}
    seen |= {"manifests"} if isinstance(found.manifests, NotKnown) else set()
    seen |= {"triggers"} if {one.outcome for one in found.triggers} == {UNKNOWN} else set()
    assert seen == unknown
    assert any(f"{port} does not answer" in words for words in found.unknown())
    assert states(found)["lint"] == "missing"
    assert found.timeline.steps


async def test_a_repository_that_is_away_hides_the_release_of_development_alone(scene: Scene) -> None:
    scene.source = AwayRepository(scene.source.branches)
    found = await scene.plan("development")
    assert found.release == NotKnown("the release: git ls-remote: the forge is away")
    assert found.unknown() == ("the release: git ls-remote: the forge is away",)
    assert outcomes(found) == {"freeze": "passed", "rollout": "passed"}
    assert found.timeline.steps


async def test_what_may_not_be_taken_is_refused_as_the_promotion_would(scene: Scene) -> None:
    await scene.verified_before("production")
    with pytest.raises(GateClosed, match=f"is not verified in staging. production would take: {NEW.name}"):
        await scene.plan("production", replace(NEW, version="9.9.9").name)
