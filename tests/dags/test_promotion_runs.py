"""Releases on their way: every run is Airflow's own `dag().test()` against the parts of the platform."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from own_airflow import EVERYBODY, REQUESTER, OwnAirflow, Voters, Way
from own_platform import OwnPlatform

from local_platform.layout import CHECKOUT
from local_platform.sources import SOURCES, ServiceRepository
from platform_ops.core.release import Colour

pytestmark = pytest.mark.platform

SOLVER = "fm-llm-solver"
NAMESPACES = {"development": "dev", "staging": "staging", "production": "prod"}
HOSTS = {
    "development": "dev.fm-llm-solver.com",
    "staging": "staging.fm-llm-solver.com",
    "production": "fm-llm-solver.com",
}
VERIFIED = ("staging", "production")
"""Development goes on by itself; these keep the first release until a test takes another one there."""


def served(platform: OwnPlatform, environment: str) -> tuple[str, str]:
    """Commit and colour that a user gets."""
    answer = httpx.get(
        f"{platform.url('gateway')}/version", headers={"host": HOSTS[environment]}, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["commit"], answer.headers["x-platform-colour"]


def deployed_digest(platform: OwnPlatform, environment: str, colour: str) -> str:
    namespace = f"--namespace={SOLVER}-{NAMESPACES[environment]}"
    deployment = json.loads(
        platform.kubectl("get", "deployment", f"{SOLVER}-{colour}", namespace, "-o", "json")
    )
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"]).partition("@")[2]


@pytest.mark.parametrize("environment", NAMESPACES)
def test_a_good_release_passes_every_step_and_pages_nobody(
    airflow: OwnAirflow, first: Way, environment: str
) -> None:
    run = first.runs[environment]
    assert (run.state, run.with_state("skipped")) == ("success", {"page", "watcher"})
    assert run.with_state("success") == set(run.tasks) - {"page", "watcher"}
    assert airflow.pages(run) == []


def test_the_digest_that_development_built_runs_in_every_environment(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way
) -> None:
    promoted = {environment: airflow.audit(run)["promotion"] for environment, run in first.runs.items()}
    assert {one["commit"] for one in promoted.values()} == {first.commit.id}
    assert {one["digest"] for one in promoted.values()} == {
        deployed_digest(platform, environment, served(platform, environment)[1]) for environment in VERIFIED
    }


def test_the_image_carries_its_bill_and_where_it_comes_from(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way
) -> None:
    shown = platform.ops("release", SOLVER, first.release, "--json")
    assert shown.returncode == 0, shown.stderr
    facts = json.loads(shown.stdout)
    assert facts["problems"] == []
    assert facts["components"] > 20
    assert facts["source"].endswith(f"@{first.commit.id}")
    assert facts["builder"] == "https://platform-ops.io/builder"
    assert facts["labels"]["org.opencontainers.image.title"] == SOLVER
    assert set(facts["documents"]) == {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}


def test_building_the_same_commit_again_attaches_nothing_again(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way, second: Way
) -> None:
    release = f"{second.commit.version}-{second.commit.id[:8]}"

    def documents() -> object:
        return json.loads(platform.ops("release", SOLVER, release, "--json").stdout)["documents"]

    before = documents()
    run = airflow.run(f"promote_{SOLVER}_development")
    assert run.tasks["build"] == "success"
    assert run.tasks["check_image"] == "success"
    assert documents() == before


def test_users_get_what_was_committed(platform: OwnPlatform, first: Way) -> None:
    assert {served(platform, environment)[0] for environment in VERIFIED} == {first.commit.id}


def test_the_ledger_says_who_approved(airflow: OwnAirflow, first: Way) -> None:
    voters = {
        environment: sorted((vote["role"], vote["user"]) for vote in airflow.audit(run)["votes"])
        for environment, run in first.runs.items()
    }
    assert voters == {
        "development": [],
        "staging": [("qa", "qa")],
        "production": [
            ("devops", "devops"),
            ("senior_developer", "senior1"),
            ("senior_developer", "senior2"),
        ],
    }


def test_the_grant_is_bound_to_the_digest(airflow: OwnAirflow, first: Way) -> None:
    for run in first.runs.values():
        record = airflow.audit(run)
        assert record["grant"]["digest"] == record["promotion"]["digest"]


def test_scan_and_image_check_stand_in_the_ledger(airflow: OwnAirflow, first: Way) -> None:
    gates = {gate["gate"]: gate for gate in airflow.audit(first.runs["production"])["gates"]}
    assert {gates[name]["outcome"] for name in ("signatures", "source", "image")} == {"passed"}
    assert gates["source"]["subject"] == first.commit.id


def test_git_says_what_is_live_and_what_may_be(
    airflow: OwnAirflow, platform: OwnPlatform, solver: ServiceRepository, first: Way
) -> None:
    def git(*words: str) -> str:
        return platform.run("git", "-C", str(solver.clone), *words).stdout.strip()

    git("fetch", "--quiet", "origin", "refs/heads/*:refs/seen/*", "refs/tags/*:refs/tags/*")
    live = airflow.audit(first.runs["production"])
    (move,) = live["git"]
    assert (move["branch"], move["tag"]) == ("main", f"v{first.commit.version}")
    assert git("rev-parse", "refs/seen/main", "refs/tags/v0.1.0^{commit}").split() == [move["commit"]] * 2
    assert git("show", "-s", "--format=%P %ce", "refs/seen/main").split() == [
        first.commit.id,
        "platform-ops@example.com",
    ]
    assert git("rev-parse", "refs/seen/main^{tree}") == git("rev-parse", f"{first.commit.id}^{{tree}}")
    said = git("show", "-s", "--format=%(trailers:key=Release,key=Digest,valueonly)", "refs/seen/main")
    assert said.split() == [first.release, live["promotion"]["digest"]]
    moved = airflow.audit(first.runs["development"])["git"]
    assert [(one["branch"], one["commit"]) for one in moved] == [("staging", first.commit.id)]


def test_a_run_that_was_killed_after_its_push_finds_its_merge(airflow: OwnAirflow, first: Way) -> None:
    from platform_ops import wiring
    from platform_ops.orchestration.releasing import merge
    from platform_ops.orchestration.step import Run, at_desk

    run = first.runs["production"]
    again = Run(run.dag_id, run.run_id, SOLVER, "production", REQUESTER)

    async def branch(desk: wiring.Desk, run: Run) -> tuple[Any, Any]:
        state = await desk.branches.state(SOLVER, "main", first.commit.id)
        return state, await desk.branches.versions(SOLVER, "main")

    before = asyncio.run(at_desk(branch, again))
    asyncio.run(at_desk(merge, again))
    assert asyncio.run(at_desk(branch, again)) == before
    assert before[0].last.released == first.commit.id


def test_the_changelog_of_what_went_live_is_kept(airflow: OwnAirflow, first: Way) -> None:
    found = airflow.ops("changelog", SOLVER, "production", "--release", first.release)
    (line,) = found["changelog"]["lines"]
    assert (line["group"], line["author"], line["commit"]) == ("Features", "developer", first.commit.id)


def test_a_typo_saved_in_mid_rollout_stops_nothing(second: Way) -> None:
    assert second.runs["development"].state == "success"
    ((path, error),) = second.import_errors.items()
    assert path.rpartition("/")[2] == "catalog_check.py"
    assert "stratgy" in error
    assert "services.yaml:" in error
    assert "promote_fm-llm-solver_production" in second.dags


def test_an_approval_marked_successful_in_the_ui_moves_no_traffic(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way, second: Way
) -> None:
    run = airflow.run(f"promote_{SOLVER}_staging", release=second.release, mark_success=r"approve\..*")
    assert run.red
    assert {"approve.vote_qa_1", "approve.record_approvals"} <= run.with_state("success")
    assert airflow.audit(run)["grant"] is None
    assert served(platform, "staging")[0] == first.commit.id
    assert len(airflow.pages(run)) == 1


def test_a_rollback_takes_the_traffic_back_in_the_warm_window(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way, second: Way
) -> None:
    with Voters(airflow, EVERYBODY).at_work():
        promoted = airflow.run(f"promote_{SOLVER}_staging", release=second.release)
    assert promoted.state == "success"
    assert served(platform, "staging")[0] == second.commit.id
    early = airflow.run(f"reclaim_{SOLVER}_staging")
    assert early.red
    assert "stays warm until" in airflow.pages(early)[0]
    rolled_back = airflow.run(f"rollback_{SOLVER}_staging", to=first.release, reason="users complain")
    assert rolled_back.state == "success"
    assert served(platform, "staging")[0] == first.commit.id


def test_without_a_warm_window_an_earlier_release_is_named_and_comes_back(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way, second: Way
) -> None:
    """In development: its window has no length, so the old colour may go at once."""
    before = served(platform, "development")
    assert before[0] == second.commit.id
    assert airflow.run(f"reclaim_{SOLVER}_development").state == "success"
    unknown = airflow.run(f"rollback_{SOLVER}_development", to="9.9.9-00000000")
    assert unknown.red
    assert first.release in airflow.pages(unknown)[0]
    run = airflow.run(f"rollback_{SOLVER}_development", to=first.release)
    assert run.state == "success"
    assert served(platform, "development") == (first.commit.id, Colour(before[1]).other)


def test_a_rollback_in_development_goes_back_to_the_colour_that_is_still_there(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way
) -> None:
    before = served(platform, "development")
    assert before[0] == first.commit.id
    run = airflow.run(f"rollback_{SOLVER}_development")
    assert run.state == "success"
    assert served(platform, "development")[1] != before[1]


def test_our_own_analyzer_gets_into_development(
    airflow: OwnAirflow, platform: OwnPlatform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    repository = platform.repository("llm-service", tmp_path_factory.mktemp("clone") / "llm-service")
    assert (CHECKOUT / SOURCES["llm-service"] / "pyproject.toml").is_file()
    commit = repository.commit()
    run = airflow.run("promote_llm-service_development")
    assert run.state == "success"
    assert airflow.audit(run)["promotion"]["commit"] == commit.id


def test_the_catalog_check_passes(airflow: OwnAirflow) -> None:
    assert airflow.run("catalog_check").state == "success"
