"""The steps that a promotion takes in git, with a real ledger and real repositories, without Airflow."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_airflow import OwnAirflow
from signed_git import SERVICE, SignedGit

from local_platform.layout import CHECKOUT, Layout
from local_platform.signing import SERVICE as PLATFORM
from local_platform.signing import Keys
from platform_ops import wiring
from platform_ops.controller.planning import rollout_plan
from platform_ops.core.errors import GateClosed, Refused
from platform_ops.core.records import Entry, Promotion
from platform_ops.core.release import Colour
from platform_ops.core.state import Phase, Rollout
from platform_ops.settings import Settings

pytestmark = pytest.mark.usefixtures("airflow_settings")
NOW = datetime(2026, 11, 27, tzinfo=UTC)


@dataclass
class Scene:
    desk: wiring.Desk
    world: SignedGit

    async def open(
        self, environment: str, commit: str, run_id: str, *, phase: Phase | None = Phase.PROMOTED
    ) -> Any:
        """A run of a promotion whose rollout got as far as `phase`."""
        from platform_ops.orchestration.step import Run

        promotion = await self.desk.ledger.promotions.open(
            dag_id=f"promote_{SERVICE}_{environment}",
            run_id=run_id,
            service=SERVICE,
            environment=environment,
            commit=commit,
            version="0.1.0",
            digest="sha256:" + (commit * 2)[:64],
            requested_by="developer",
            url="",
        )
        if phase is not None:
            await self._rollout(promotion, phase)
        return Run(promotion.dag_id, run_id, SERVICE, environment, "developer")

    async def _rollout(self, promotion: Promotion, phase: Phase) -> None:
        catalog = self.desk.catalog
        rollout = Rollout(
            id=f"00000000-0000-0000-0000-{promotion.commit[:12]}",
            dag_id=promotion.dag_id,
            run_id=promotion.run_id,
            promotion_id=promotion.id,
            target=catalog.target(SERVICE, promotion.environment),
            release=promotion.release,
            colour=Colour.GREEN,
            previous_digest=None,
            plan=rollout_plan(catalog, SERVICE, promotion.environment),
            goal=Phase.PROMOTED,
            requested_by="developer",
            log_url="",
            created_at=NOW,
        )
        entry = Entry(SERVICE, promotion.environment, NOW, "developer", "note", "Open", rollout_id=rollout.id)
        await self.desk.ledger.rollouts.insert(replace(rollout, phase=phase), entry)

    async def moves(self, run: Any) -> list[tuple[str, str, str]]:
        promotion = await self.desk.ledger.promotions.of_run(run.dag_id, run.run_id)
        moves = await self.desk.ledger.source.moves(promotion.id)
        return [(move.branch, move.commit, move.tag) for move in moves]


@pytest.fixture
async def scene(tmp_path: Path, ledger_dsn: str, airflow_settings: OwnAirflow) -> AsyncIterator[Scene]:
    keys = Keys(tmp_path / "keys", Layout.from_environment())
    keys.complete()
    world = SignedGit(tmp_path / "git", keys).create()
    entries = yaml.safe_load((CHECKOUT / "astro/local/services.yaml").read_text(encoding="utf-8"))
    entries["services"][SERVICE]["repository"] = str(world.bare)
    (tmp_path / "services.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    settings = Settings(
        catalog=str(tmp_path / "services.yaml"),
        state=str(tmp_path / "state"),
        ledger_dsn=ledger_dsn,
        kubeconfig=str(tmp_path / "kubeconfig"),
        prometheus_url="http://127.0.0.1:1",
        allowed_signers=str(keys.allowed_signers),
        signing_key=str(keys.key(PLATFORM)),
        manifests=os.environ.get("PLATFORM_OPS_MANIFESTS", Settings().manifests),
    )
    async with wiring.connect(settings) as desk:
        yield Scene(desk, world)


async def test_a_release_is_merged_once_whatever_dies_between(scene: Scene) -> None:
    from platform_ops.orchestration.releasing import merge

    commit = scene.world.commit("feat: one")
    run = await scene.open("production", commit, "run-1")
    await merge(scene.desk, run)
    (move,) = await scene.moves(run)
    assert move == ("main", scene.world.at("main"), "v0.1.0")
    before = scene.world.refs()
    await merge(scene.desk, run)
    assert scene.world.refs() == before
    assert await scene.moves(run) == [move]


async def test_versions_follow_the_commits(scene: Scene) -> None:
    from platform_ops.orchestration.releasing import merge

    tags = []
    for number, message in enumerate(("feat: one", "fix: two", "docs: three", "feat: four")):
        run = await scene.open("production", scene.world.commit(message), f"run-{number}")
        await merge(scene.desk, run)
        tags.append((await scene.moves(run))[0][2])
    assert tags == ["v0.1.0", "v0.1.1", "", "v0.2.0"]


async def test_nothing_is_merged_for_a_rollout_that_was_marked_as_done(scene: Scene) -> None:
    from platform_ops.orchestration.releasing import advance_branch, merge

    commit = scene.world.commit("feat: one")
    before = scene.world.refs()
    for step, environment in ((advance_branch, "development"), (merge, "production")):
        run = await scene.open(environment, commit, "run-1", phase=None)
        with pytest.raises(GateClosed, match="did not get to Promoted"):
            await step(scene.desk, run)
    assert scene.world.refs() == before


async def test_staging_follows_development_and_stops_at_what_somebody_pushed(scene: Scene) -> None:
    from platform_ops.orchestration.releasing import advance_branch

    first = scene.world.commit("feat: one")
    run = await scene.open("development", first, "run-1")
    await advance_branch(scene.desk, run)
    assert scene.world.at("staging") == first
    assert await scene.moves(run) == [("staging", first, "")]
    foreign = scene.world.commit("feat: foreign", branch="staging")
    with pytest.raises(Refused, match=f"staging stands at {foreign[:8]}"):
        await advance_branch(scene.desk, run)
    assert scene.world.at("staging") == foreign


async def test_signatures_are_verified_before_the_build_and_since_the_last_release(scene: Scene) -> None:
    from platform_ops.orchestration.signatures import require_verified, verify_signatures

    async def promotion(run: Any) -> Promotion:
        return await scene.desk.ledger.promotions.of_run(run.dag_id, run.run_id)

    run = await scene.open("development", scene.world.commit("feat: one"), "run-1", phase=None)
    with pytest.raises(GateClosed, match="run verify_signatures"):
        await require_verified(scene.desk, await promotion(run))
    await verify_signatures(scene.desk, run)
    first = await promotion(run)
    await require_verified(scene.desk, first)
    await scene.desk.ledger.promotions.finish(first.id, "promoted")

    bad = scene.world.commit("feat: bad", "--no-gpg-sign")
    run = await scene.open("development", scene.world.commit("feat: good"), "run-2", phase=None)
    with pytest.raises(GateClosed, match=rf"1 commit\(s\) do not count as signed:\n{bad[:8]}"):
        await verify_signatures(scene.desk, run)
    second = await promotion(run)
    with pytest.raises(GateClosed, match="run verify_signatures"):
        await require_verified(scene.desk, second)
    gate = await scene.desk.ledger.gates.latest(SERVICE, second.commit, "signatures")
    assert gate is not None
    assert (gate.outcome, gate.detail["since"], gate.detail["commits"]) == ("failed", first.commit, 2)


async def test_the_changelog_is_what_differs_from_what_serves(scene: Scene) -> None:
    from platform_ops.orchestration.changes import changes_in_short, note_changes

    runs = [
        await scene.open("staging", scene.world.commit(message), f"run-{number}", phase=None)
        for number, message in enumerate(("feat: one", "fix: two", "feat: three"))
    ]
    promotions = [await scene.desk.ledger.promotions.of_run(run.dag_id, run.run_id) for run in runs]
    await note_changes(scene.desk, promotions[0])
    await scene.desk.ledger.promotions.finish(promotions[0].id, "promoted")
    await note_changes(scene.desk, promotions[2])
    shown = await changes_in_short(scene.desk, promotions[2])
    assert [line.split(" (")[0] for line in shown.splitlines() if line.startswith("* ")] == [
        "* `three",
        "* `two",
    ]
    await scene.desk.ledger.promotions.finish(promotions[2].id, "promoted")
    await note_changes(scene.desk, promotions[1])
    assert await changes_in_short(scene.desk, promotions[1]) == (
        f"This takes 1 commit(s) back out that serve now after {promotions[2].commit[:8]}."
    )
