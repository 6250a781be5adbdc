"""What a release must pass before it goes anywhere: gates in pods, kept results, admission."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from own_airflow import POLICY, OwnAirflow, TestRun, Way
from own_platform import OwnPlatform
from test_promotion_runs import SOLVER, served
from test_source_check import git, rewrite

from local_platform.sources import ServiceRepository
from platform_ops import wiring
from platform_ops.core.errors import GateClosed

pytestmark = pytest.mark.platform

FROM_ADMISSION_TO_TRAFFIC = r"admit|check_source|gates\..*|check_image|approve\..*"
AFTER_ADMISSION = (
    rf"{FROM_ADMISSION_TO_TRAFFIC.removeprefix('admit|')}|deploy_preview|verify|roll_out|verify_active"
)


def outcomes(airflow: OwnAirflow, run: TestRun) -> dict[str, dict[str, Any]]:
    return {gate["gate"]: gate for gate in airflow.audit(run)["gates"]}


async def open_rollout(run: TestRun) -> None:
    """As if nothing but the controller stood between a run and traffic."""
    async with wiring.connect() as desk:
        promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
        await desk.controller.open(desk.rollout_request(promotion))


def waived(platform: OwnPlatform, promotion: str) -> list[str]:
    """What stood open and let the promotion in all the same."""
    query = (
        "SELECT detail->'waived' FROM ledger.gates"
        " WHERE detail->>'promotion' = %s AND gate = 'incidents' ORDER BY number LIMIT 1"
    )
    with psycopg.connect(platform.dsn("ledger_owner", "ledger")) as connection:
        (found,) = connection.execute(query, (promotion,)).fetchone() or ([],)
    return list(found)


@pytest.fixture
def branch(solver: ServiceRepository, first: Way, second: Way) -> Iterator[ServiceRepository]:
    """The stand-in's branch, without what the test pushed once it is over."""
    before = git(solver.clone, "rev-parse", "HEAD")
    yield solver
    rewrite(solver, before)


@pytest.fixture
def settled(airflow: OwnAirflow) -> Iterator[OwnAirflow]:
    """Catalog and policy are as they were once the test is over."""
    airflow.write_catalog()
    yield airflow
    airflow.write_catalog()
    airflow.write_policy()


@pytest.fixture
def incident(airflow: OwnAirflow) -> Iterator[str]:
    opened = airflow.ops("incident", "open", SOLVER, "staging", "--why", "users see errors")["id"]
    yield opened
    airflow.ops("incident", "close", opened, "--why", "the test is over")


def test_what_passed_before_is_taken_for_equal_inputs_and_coverage_is_of_all_suites(
    airflow: OwnAirflow, first: Way
) -> None:
    run = first.runs["production"]
    found = outcomes(airflow, run)
    assert {name for name, gate in found.items() if gate["outcome"] == "not_run"} >= {
        "other-systems",
        "penetration",
    }
    assert all(gate["detail"]["advisory"] for gate in found.values() if gate["outcome"] == "not_run")
    for name in ("lint", "unit", "integration", "api"):
        assert found[name]["outcome"] == "passed"
        assert found[name]["detail"]["cached_from"]["commit"] == first.commit.id
        assert f"{name} passed (cached from commit {first.commit.id[:8]}" in run.log
    assert found["coverage"]["detail"]["percent"] > 80
    assert "coverage" not in outcomes(airflow, first.runs["development"]) or "gates.coverage" not in (
        first.runs["development"].tasks
    )


def test_a_finding_of_the_linter_and_a_failing_test_stop_the_release_before_it_is_built(
    settled: OwnAirflow, branch: ServiceRepository
) -> None:
    """With the project's own policy: formatter, imports and types pass in their pods beside them."""
    shutil.copy(POLICY, settled.gate_policy)

    def spoil(tree: Path) -> None:
        (tree / "src/fm_llm_solver/unused.py").write_text('"""Unused."""\n\nimport json\n')
        (tree / "tests/unit/test_wrong.py").write_text(
            '"""Wrong."""\n\n\ndef test_wrong() -> None:\n    assert 1 + 1 == 3\n'
        )
        (tree / "setup.cfg").write_text("[flake8]\nexclude = *\n[tool:pytest]\naddopts = --deselect tests\n")

    commit = branch.commit(spoil)
    run = settled.run(f"promote_{SOLVER}_development")
    assert run.with_state("failed") == {"gates.lint", "gates.unit", "watcher"}
    assert {"gates.format", "gates.imports", "gates.types", "check_source"} <= run.with_state("success")
    assert run.tasks["build"] == "upstream_failed"
    found = outcomes(settled, run)
    assert (found["lint"]["subject"], found["lint"]["outcome"]) == (commit.id, "failed")
    assert found["lint"]["detail"]["problems"] == [
        "src/fm_llm_solver/unused.py:3:1: F401 'json' imported but unused"
    ]
    assert found["unit"]["detail"]["counts"]["failed"] == 1
    (page,) = settled.pages(run)
    assert "F401 'json' imported but unused" in page or "test_wrong" in page


def test_too_little_coverage_keeps_a_release_out_of_production(settled: OwnAirflow, first: Way) -> None:
    def raise_minimum(policy: dict[str, Any]) -> None:
        policy["minimum_coverage"] = 99.9

    settled.write_policy(raise_minimum)
    run = settled.run(f"promote_{SOLVER}_production")
    assert run.with_state("failed") == {"gates.coverage", "watcher"}
    (page,) = settled.pages(run)
    assert "more than 99.9 % is required: add tests" in page


def test_a_freeze_window_lets_nothing_in_and_says_until_when(
    settled: OwnAirflow, branch: ServiceRepository
) -> None:
    def freeze(entries: dict[str, Any]) -> None:
        entries["services"][SOLVER]["environments"]["development"]["freeze"] = [
            {
                "name": "for ever",
                "begins": "2001-01-01 00:00",
                "ends": "2999-01-01 00:00",
                "zone": "Europe/Berlin",
            }
        ]

    branch.commit()
    settled.write_catalog(freeze)
    run = settled.run(f"promote_{SOLVER}_development")
    assert run.with_state("failed") == {"admit", "watcher"}
    (page,) = settled.pages(run)
    assert "freeze window for ever until 2999-01-01 00:00 Europe/Berlin: promote again after it" in page


def test_an_open_incident_lets_nothing_in_but_its_fix_also_when_somebody_marks_the_tasks(
    settled: OwnAirflow, platform: OwnPlatform, second: Way, incident: str
) -> None:
    before = served(platform, "staging")
    refused = settled.run(f"promote_{SOLVER}_staging", release=second.release)
    assert refused.with_state("failed") == {"admit", "watcher"}
    (page,) = settled.pages(refused)
    assert f"{incident} is open since" in page
    assert f"--fixes {incident}" in page

    marked = settled.run(
        f"promote_{SOLVER}_staging", release=second.release, mark_success=FROM_ADMISSION_TO_TRAFFIC
    )
    assert marked.with_state("failed") == {"deploy_preview", "watcher"}
    with pytest.raises(GateClosed) as controller:
        asyncio.run(open_rollout(marked))
    said = str(controller.value)
    assert f"{incident} is open since" in said
    assert "lint is required and has no result" not in said, "development's result is of the same commit"
    assert "api is required and has no result" in said
    assert served(platform, "staging") == before

    fix = settled.run(
        f"promote_{SOLVER}_staging", release=second.release, fixes=incident, mark_success=AFTER_ADMISSION
    )
    assert fix.tasks["admit"] == "success"
    promotion = settled.audit(fix)["promotion"]
    assert promotion["fixes"] == [incident]
    assert waived(platform, promotion["id"]) == [
        f"{incident} (users see errors): admitted, since it removes the cause"
    ]
