"""Admission against a real ledger and a world of a service: what is looked at, written down and refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes import ManualClock, World

from platform_ops.adapters.ledger import Ledger
from platform_ops.catalog.gating import FreezeWindow
from platform_ops.catalog.load import load
from platform_ops.catalog.models import Catalog
from platform_ops.catalog.policy import load_policy
from platform_ops.catalog.policy_models import GatePolicy
from platform_ops.controller.admission import Admission
from platform_ops.core.errors import GateClosed, NotFound
from platform_ops.core.gates import IN_PODS
from platform_ops.core.records import Promotion
from platform_ops.core.release import Colour, Release

ROOT = Path(__file__).parents[2]
NEW = Release("fm-llm-solver", "1.1.0", "2" * 40, "sha256:" + "2" * 64)
OLD = Release("fm-llm-solver", "1.0.0", "1" * 40, "sha256:" + "1" * 64)
FREEZE = FreezeWindow(name="ice", begins="2025-12-31 00:00", ends="2026-01-02 00:00", zone="UTC")


class HurriedClock(ManualClock):
    """Whoever sleeps is woken at once, and so much later it is: the database answers in real time."""

    async def sleep(self, duration: timedelta) -> None:
        self.advance(duration)


@pytest.fixture
def clock() -> ManualClock:
    return HurriedClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def world(clock: ManualClock) -> World:
    """Staging: its serving colour is well."""
    staging = World(clock)
    staging.serve(Colour.BLUE, NEW.digest)
    return staging


@pytest.fixture
def policy() -> GatePolicy:
    return load_policy(ROOT / "include/config/gate-policy.yaml")


def admission(
    ledger: Ledger,
    world: World,
    clock: ManualClock,
    policy: GatePolicy,
    *freeze: FreezeWindow,
    path: str = "astro/local/services.yaml",
) -> Admission:
    catalog: Catalog = load(ROOT / path)
    if freeze:
        service = catalog.services[NEW.service]
        production = service.environments.production.model_copy(update={"freeze": freeze})
        environments = service.environments.model_copy(update={"production": production})
        frozen = {NEW.service: service.model_copy(update={"environments": environments})}
        catalog = catalog.model_copy(update={"services": {**catalog.services, **frozen}})
    return Admission(ledger, world, world, clock, catalog, policy)


async def promotion(
    ledger: Ledger, release: Release, environment: str, outcome: str = "", fixes: Sequence[str] = ()
) -> Promotion:
    opened = await ledger.promotions.open(
        dag_id=f"promote_{release.service}_{environment}",
        run_id=f"{release.version}-{environment}-{len(fixes)}",
        service=release.service,
        environment=environment,
        commit=release.commit,
        version=release.version,
        digest=release.digest,
        requested_by="developer",
        url="http://airflow.example.com/run",
        fixes=fixes,
    )
    if outcome:
        await ledger.promotions.finish(opened.id, outcome)
    return opened


async def passed(ledger: Ledger, policy: GatePolicy, but: str = "") -> None:
    for gate in (*IN_PODS, "source", "coverage", "image"):
        if gate != but:
            subject = NEW.digest if gate == "image" else NEW.commit
            await ledger.gates.record(
                service=NEW.service, subject=subject, gate=gate, outcome="passed", detail={}
            )


async def test_a_good_release_is_admitted_twice_and_what_did_not_run_is_written_down(
    ledger: Ledger, world: World, clock: ManualClock, policy: GatePolicy
) -> None:
    await promotion(ledger, NEW, "staging", "promoted")
    asked = await promotion(ledger, NEW, "production")
    door = admission(ledger, world, clock, policy)
    verdicts = await door.admit(asked)
    assert {verdict.gate: verdict.outcome for verdict in verdicts} == dict.fromkeys(
        ("freeze", "incidents", "staging"), "passed"
    )
    written = {result.gate: result for result in await ledger.gates.of(NEW.service, ["production"])}
    assert {gate: result.outcome for gate, result in written.items()} == dict.fromkeys(written, "passed")
    advisory = {result.gate: result for result in await ledger.gates.of(NEW.service, [NEW.commit])}
    assert set(advisory) == set(policy.required("production").advisory)
    assert {result.outcome for result in advisory.values()} == {"not_run"}
    await passed(ledger, policy)
    await door.ensure(asked)


@pytest.mark.parametrize("gate", ["lint", "unit", "coverage", "image"])
async def test_at_the_last_moment_every_gate_must_stand_in_the_ledger(
    ledger: Ledger, world: World, clock: ManualClock, policy: GatePolicy, gate: str
) -> None:
    await promotion(ledger, NEW, "staging", "promoted")
    asked = await promotion(ledger, NEW, "production")
    await passed(ledger, policy, but=gate)
    with pytest.raises(GateClosed, match=f"{gate} is required and has no result"):
        await admission(ledger, world, clock, policy).ensure(asked)


async def test_a_freeze_that_began_meanwhile_and_an_unwell_staging_refuse_both_at_once(
    ledger: Ledger, world: World, clock: ManualClock, policy: GatePolicy
) -> None:
    await promotion(ledger, NEW, "staging", "promoted")
    asked = await promotion(ledger, NEW, "production")
    await passed(ledger, policy)
    world.behave(NEW.digest, checks="503")
    door = admission(ledger, world, clock, policy, FREEZE)
    for ask in (door.admit, door.ensure):
        with pytest.raises(GateClosed) as refused:
            await ask(asked)
        assert "freeze window ice until 2026-01-02 00:00 UTC" in str(refused.value)
        assert "GET /health: 503 instead of 200" in str(refused.value)
    await door.ensure(asked, hotfix=True)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda world: world.lose_pods(Colour.BLUE, 2), "503 instead of 200"),
        (lambda world: world.deployments.clear(), "503 instead of 200"),
    ],
)
async def test_staging_must_serve_now(
    ledger: Ledger, world: World, clock: ManualClock, policy: GatePolicy, break_it: Any, words: str
) -> None:
    await promotion(ledger, NEW, "staging", "promoted")
    asked = await promotion(ledger, NEW, "production")
    break_it(world)
    with pytest.raises(GateClosed, match=words):
        await admission(ledger, world, clock, policy).admit(asked)


async def test_a_release_that_went_back_in_staging_is_not_verified_any_more(
    ledger: Ledger, world: World, clock: ManualClock, policy: GatePolicy
) -> None:
    await promotion(ledger, NEW, "staging", "rolled_back")
    asked = await promotion(ledger, NEW, "production")
    with pytest.raises(GateClosed, match="is not verified in staging"):
        await admission(ledger, world, clock, policy).admit(asked)


async def test_an_open_incident_lets_its_fix_in(
    ledger: Ledger, world: World, clock: ManualClock, policy: GatePolicy
) -> None:
    incident = await ledger.incidents.open(NEW.service, None, why="errors", by="oncall")
    door = admission(ledger, world, clock, policy)
    with pytest.raises(GateClosed, match=f"{incident.id} is open since"):
        await door.admit(await promotion(ledger, NEW, "staging"))
    await door.admit(await promotion(ledger, NEW, "staging", fixes=[incident.id]))
    with pytest.raises(NotFound, match=f"INC-0: no such incident of fm-llm-solver; open are: {incident.id}"):
        await door.admit(await promotion(ledger, NEW, "staging", fixes=["INC-0", "INC-0"]))


async def test_going_back_to_what_was_verified_here_waits_for_nothing(
    ledger: Ledger, world: World, clock: ManualClock, policy: GatePolicy
) -> None:
    await ledger.incidents.open(OLD.service, None, why="errors", by="oncall")
    await promotion(ledger, OLD, "production", "promoted")
    again = await promotion(ledger, OLD, "production", fixes=[])
    await admission(ledger, world, clock, policy, FREEZE).ensure(again)
