"""What must not get in: each run ends red, moves nothing, and pages once."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_airflow import OwnAirflow, Voters, Way
from own_platform import OwnPlatform
from test_promotion_runs import NAMESPACES, SOLVER, served

from local_platform.sources import ServiceRepository, edit

pytestmark = pytest.mark.platform


def test_a_preview_that_fails_its_checks_is_removed_and_traffic_never_moves(
    airflow: OwnAirflow, platform: OwnPlatform, solver: ServiceRepository, first: Way
) -> None:
    before = served(platform, "development")

    def break_metrics(tree: Path) -> None:
        edit(tree / "src/fm_llm_solver/app.py", r'\n *Route\("/api/metrics", self\.metrics\),', "")

    solver.commit(break_metrics)
    run = airflow.run(f"promote_{SOLVER}_development")
    assert run.red
    assert run.with_state("failed") == {"verify", "watcher"}
    assert "Shift" not in airflow.acts(run)
    assert served(platform, "development") == before
    namespace = f"--namespace={SOLVER}-{NAMESPACES['development']}"
    preview = "green" if before[1] == "blue" else "blue"
    assert f"{SOLVER}-{preview}" not in platform.kubectl("get", "pods,deployments", namespace, "-o", "name")
    (page,) = airflow.pages(run)
    assert "/api/metrics: 404 instead of 200" in page
    assert "No traffic ever left" in page


def test_production_refuses_what_staging_has_not_verified_and_lists_what_it_would_take(
    airflow: OwnAirflow, first: Way
) -> None:
    run = airflow.run(f"promote_{SOLVER}_production", release="9.9.9-00000000")
    assert run.red
    assert run.with_state("failed") == {"resolve", "watcher"}
    (page,) = airflow.pages(run)
    assert "'9.9.9-00000000' is not verified in staging" in page
    assert first.release in page


def test_a_reject_closes_the_other_seats_and_ends_the_run(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way
) -> None:
    before = served(platform, "production")
    airflow.end_hold(SOLVER, first.release)
    one_of_three = Voters(airflow, {"senior_developer": ("senior1",)}, rejecting=frozenset({"senior1"}))
    with one_of_three.at_work() as voters:
        run = airflow.run(f"promote_{SOLVER}_production")
    assert voters.answered == [("approve.vote_senior_developer_1", "senior1", "Reject")]
    assert run.red
    assert run.with_state("awaiting_input") == set()
    assert {
        "approve.vote_senior_developer_1",
        "approve.vote_senior_developer_2",
        "approve.vote_devops_1",
    } <= run.with_state("failed")
    assert run.tasks["deploy_preview"] == "upstream_failed"
    assert served(platform, "production") == before
    (page,) = airflow.pages(run)
    assert "Rejected by senior1 as senior_developer" in page


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_nothing_goes_past_an_environment(airflow: OwnAirflow, environment: str) -> None:
    run = airflow.run(f"promote_llm-service_{environment}", release="9.9.9-00000000")
    assert run.red
    assert run.with_state("failed") == {"resolve", "watcher"}
    assert len(airflow.pages(run)) == 1


@pytest.mark.parametrize("environment", NAMESPACES)
def test_a_rollback_without_anything_to_go_back_to_says_so(airflow: OwnAirflow, environment: str) -> None:
    run = airflow.run(f"rollback_llm-service_{environment}")
    assert run.red
    (page,) = airflow.pages(run)
    assert "release instead" in page


def test_marking_the_rollout_successful_verifies_nothing(
    airflow: OwnAirflow, solver: ServiceRepository, first: Way
) -> None:
    """What lets the next environment take a release asks the ledger, not the tasks before."""
    commit = solver.commit()
    run = airflow.run(
        f"promote_{SOLVER}_development", mark_success="deploy_preview|verify|roll_out|verify_active"
    )
    assert run.red
    assert run.with_state("failed") == {"advance_branch", "watcher"}
    refused = airflow.run(f"promote_{SOLVER}_staging", release=f"{commit.version}-{commit.id[:8]}")
    assert refused.with_state("failed") == {"resolve", "watcher"}


def test_a_first_release_has_nothing_to_go_back_to(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way
) -> None:
    before = served(platform, "production")
    run = airflow.run(f"rollback_{SOLVER}_production")
    assert run.red
    assert served(platform, "production") == before
    (page,) = airflow.pages(run)
    assert "going back would leave nothing that serves" in page
