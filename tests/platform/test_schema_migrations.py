"""Migrations as Jobs of real images before a preview, and a registry that is away: judged from outside."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from conftest import Ground
from own_platform import OwnPlatform
from releasing import SERVICE, Place, done, until

from local_platform.services.analyzer import secret_values
from local_platform.services.images import references
from platform_ops import wiring
from platform_ops.adapters.manifests import Manifests
from platform_ops.catalog.models import SchemaMigration
from platform_ops.core.migration import JobState, Migration
from platform_ops.core.release import Release
from platform_ops.core.state import Phase

pytestmark = pytest.mark.platform


def migration(place: Place, release: Release, *command: str) -> Migration:
    """As if the catalog named the command for the stand-in."""
    entry = SchemaMigration(command=command, deadline=timedelta(minutes=1))
    catalog = place.desk.catalog
    service = catalog.service(SERVICE).model_copy(update={"schema_migration": entry})
    changed = catalog.model_copy(update={"services": {**catalog.services, SERVICE: service}})
    manifests = Manifests(Path(place.desk.settings.manifests), changed)
    made = manifests.migration(place.target, place.desk.images.reference(SERVICE, release.digest))
    assert made is not None
    return made


@pytest.mark.cluster
async def test_a_migration_runs_in_the_releases_own_image_before_its_preview(place: Place) -> None:
    await place.serving()
    new = await place.built()
    planned = migration(place, new, "python3", "-c", "print('one column more')")
    rollout_id = await place.open(new, migration=planned)
    async with place.traffic() as traffic:
        view = await place.drive(rollout_id)
    assert view.phase is Phase.PROMOTED, view
    assert traffic.failed == []
    job = json.loads(place.run_kubectl("get", "job", planned.job, "--output=json"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f"@{new.digest}")
    assert job["status"]["succeeded"] == 1
    acts = [entry.what for entry in await place.journal(rollout_id) if entry.kind == "done"]
    assert acts[:6] == ["Enter", "Baseline", "Migrate", "VerifyOld", "Deploy", "Enter"]


@pytest.mark.cluster
async def test_a_migration_that_fails_ends_it_with_its_last_words_before_any_preview(place: Place) -> None:
    old, colour = await place.serving()
    bad = await place.built()
    words = "raise SystemExit('0006_risk.sql failed: column \"risk\" does not exist')"
    rollout_id = await place.open(bad, migration=migration(place, bad, "python3", "-c", words))
    async with place.traffic() as traffic:
        view = await place.drive(rollout_id)
    assert view.phase is Phase.ROLLED_BACK
    assert 'column "risk" does not exist' in view.reason
    assert done(await place.journal(rollout_id), "Deploy") == []
    assert bad.digest not in place.deployments().values()
    assert place.weights().of(colour) == 100
    assert place.deployments()[place.target.deployment(colour)] == old.digest
    assert traffic.failed == []


async def test_the_analyzers_tables_come_from_its_own_migration_job(
    ground: Ground, platform_state: OwnPlatform
) -> None:
    context = platform_state.supervisor.platform
    async with wiring.connect(ground.settings) as desk:
        target = desk.catalog.target("llm-service", "staging")
        planned = desk.manifests.migration(target, references(context)["analyzer"])
        assert planned is not None
        await desk.migrations.start(target, planned, "this-test")

        async def ended() -> bool:
            return (await desk.migrations.status(target, planned.job)).state is not JobState.RUNNING

        await until("the migration ended", ended)
        status = await desk.migrations.status(target, planned.job)
    assert status.state is JobState.SUCCEEDED, status.words
    with psycopg.connect(secret_values(context, "staging")["ANALYZER_DATABASE_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM analyzer.active_version").fetchone() == (1,)


async def test_a_registry_that_stays_away_ends_a_preview_before_any_traffic(
    place: Place, platform_state: OwnPlatform
) -> None:
    _, colour = await place.serving()
    new = await place.built()
    rollout_id = await place.open(new, deploy_deadline=timedelta(seconds=30))
    assert (await place.drive(rollout_id, Phase.VERIFYING)).phase is Phase.VERIFYING
    platform_state.kill("registry")
    try:
        view = await place.drive(rollout_id)
    finally:
        platform_state.up("registry")
    assert view.phase is Phase.ROLLED_BACK
    assert view.reason.startswith("not checked within 30 s: registry http")
    assert not view.rollout.moved
    assert place.weights().of(colour) == 100
    assert place.running(view.rollout.colour) == []


async def test_an_image_that_lost_a_layer_since_its_preview_came_up_gets_no_traffic(
    place: Place, platform_state: OwnPlatform
) -> None:
    _, colour = await place.serving()
    new = await place.built()
    rollout_id = await place.open(new)
    assert (await place.drive(rollout_id, Phase.VERIFYING)).phase is Phase.VERIFYING
    facts = await place.desk.images.inspect(SERVICE, new.digest)
    # The application's layer: no other image has it.
    lost = facts.layers[-1].removeprefix("sha256:")
    (data,) = platform_state.state.rglob(f"blobs/sha256/{lost[:2]}/{lost}/data")
    kept = data.rename(data.with_name("kept"))
    try:
        view = await place.drive(rollout_id)
    finally:
        kept.rename(data)
    assert view.phase is Phase.ROLLED_BACK
    assert f"{lost} is missing; push the image again" in view.reason
    assert not view.rollout.moved
    assert place.weights().of(colour) == 100
