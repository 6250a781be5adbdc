"""Hotfixes: one goes first although a promotion is on its way, and what must not get in by that door."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from own_airflow import EVERYBODY, OwnAirflow, TestRun, Voters, Way
from own_platform import OwnPlatform
from test_promotion_runs import SOLVER, served

from local_platform.layout import CHECKOUT
from local_platform.sources import ServiceRepository, edit
from platform_ops import wiring
from platform_ops.core.approvals import ApprovalRule
from platform_ops.core.paging import page_key
from platform_ops.core.plan import Step
from platform_ops.core.state import Phase, Rollout

pytestmark = pytest.mark.platform

FEW_GATES = CHECKOUT / "tests/gate-policy.yaml"
HOTFIX = f"hotfix_{SOLVER}"
BRANCH = "hotfix/login"


@dataclass(frozen=True)
class Urgent:
    """A hotfix that went through while another release was on its way."""

    commit: str
    run: TestRun
    pre_empted: Rollout


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=oncall", "-c", "user.email=oncall@example.com")
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def push_hotfix(solver: ServiceRepository) -> str:
    """A branch repairs something of what is live."""
    git(solver.clone, "fetch", "--quiet", "origin", "main")
    git(solver.clone, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    edit(solver.clone / "pyproject.toml", r'(?m)^version = "[^"]+"$', 'version = "1.0.1"')
    git(solver.clone, "add", "--all")
    commit = solver.commit_tree(git(solver.clone, "write-tree"), "fix: repair the login", branch=BRANCH)
    git(solver.clone, "reset", "--quiet", "--hard")
    git(solver.clone, "checkout", "--quiet", solver.branch)
    return commit


def generate_load(entries: dict[str, Any]) -> None:
    """Nobody uses this production: the controller's own requests have to be enough for a verdict."""
    production = entries["services"][SOLVER]["environments"]["production"]
    production["on_insufficient_samples"] = {"policy": "generate", "extend_at_most": "PT2M"}


@contextmanager
def on_its_way(digest: str) -> Iterator[list[Rollout]]:
    """A promotion of that digest stands at its first step; at the end it is read how its rollout ended. It is
    opened without the tasks before it, and by a policy that asks for what development has looked at."""
    ended: list[Rollout] = []
    shifting = threading.Event()

    async def drive() -> None:
        few_gates = replace(wiring.settings(), gate_policy=str(FEW_GATES))
        async with wiring.connect(few_gates) as desk:
            release = await desk.ledger.releases.find(SOLVER, digest)
            assert release is not None
            promotion = await desk.ledger.promotions.open(
                dag_id=f"promote_{SOLVER}_production",
                run_id="the-slow-one",
                service=SOLVER,
                environment="production",
                commit=release.commit,
                version=release.version,
                digest=digest,
                requested_by="developer",
                url="http://airflow.example.com/run",
            )
            await desk.ledger.approvals.record(
                promotion, votes=(), rule=ApprovalRule(), authors=(), now=desk.clock.now(),
                evidence=await desk.ledger.evidence(promotion),
            )  # fmt: skip
            asked = desk.rollout_request(promotion)
            steps = tuple(Step(one.weight, one.hold * 300) for one in asked.plan.steps)
            rollout_id = await desk.controller.open(replace(asked, plan=replace(asked.plan, steps=steps)))

            def look(view: Any) -> None:
                if view.rollout.since is not None:
                    shifting.set()

            await desk.controller.drive(rollout_id, goal=Phase.PROMOTED, holder="test", progress=look)
            ended.append(await desk.ledger.rollouts.get(rollout_id))

    thread = threading.Thread(target=lambda: asyncio.run(drive()), name="on-its-way", daemon=True)
    thread.start()
    assert shifting.wait(120), "the promotion never came to its first step"
    try:
        yield ended
    finally:
        thread.join(60)
    assert not thread.is_alive(), "the promotion never ended"


@pytest.fixture(scope="module")
def urgent(airflow: OwnAirflow, solver: ServiceRepository, first: Way, second: Way) -> Iterator[Urgent]:
    airflow.write_catalog(generate_load)
    commit = push_hotfix(solver)
    airflow.end_hold(SOLVER, second.release)
    slow = airflow.audit(second.runs["development"])["promotion"]["digest"]
    with on_its_way(slow) as ended, Voters(airflow, EVERYBODY).at_work():
        run = airflow.run(HOTFIX, commit=BRANCH, why="nobody can log in", incident="INC-7")
    yield Urgent(commit, run, ended[0])
    airflow.write_catalog()


def test_a_hotfix_goes_first_and_serves(airflow: OwnAirflow, platform: OwnPlatform, urgent: Urgent) -> None:
    assert urgent.run.state == "success", urgent.run.log[-4000:]
    assert urgent.run.with_state("success") == set(urgent.run.tasks) - {"page", "watcher"}
    assert served(platform, "production")[0] == urgent.commit


def test_the_promotion_went_back_between_two_steps_and_says_for_whom(
    airflow: OwnAirflow, urgent: Urgent
) -> None:
    before = urgent.pre_empted
    assert before.phase is Phase.ROLLED_BACK
    assert before.reason.startswith(
        f"{HOTFIX} ({urgent.run.run_id}): hotfix 1.0.1-{urgent.commit[:8]} goes first"
    )
    records = airflow.ops("audit", SOLVER, "production")
    journal = next(one["journal"] for one in records if one["promotion"]["run_id"] == "the-slow-one")
    acts = [(entry["kind"], entry["what"]) for entry in journal]
    assert (
        acts.index(("done", "Confirm"))
        < acts.index(("note", "PreEmpt"))
        < acts.index(("done", "BeginRollback"))
    )


def test_it_was_approved_by_the_rule_of_hotfixes_on_evidence(airflow: OwnAirflow, urgent: Urgent) -> None:
    record = airflow.audit(urgent.run)
    assert record["grant"]["required"] == {"senior_developer": 1, "devops": 1}
    assert sorted(record["grant"]["voters"]) == ["devops", "senior1"]
    outcomes = {one["gate"]: one["outcome"] for one in record["grant"]["evidence"]["outcomes"]}
    assert {"source": "passed", "image": "passed"}.items() <= outcomes.items()
    assert {vote["evidence"] == record["grant"]["evidence"] for vote in record["votes"]} == {True}


def test_main_holds_what_was_built_and_the_follow_up_asks_for_the_rest(
    airflow: OwnAirflow, solver: ServiceRepository, urgent: Urgent
) -> None:
    git(solver.clone, "fetch", "--quiet", "origin", "main")
    assert git(solver.clone, "rev-parse", "FETCH_HEAD^2") == urgent.commit
    hotfix = airflow.audit(urgent.run)["hotfix"]
    assert (hotfix["incident"], hotfix["closed_at"]) == ("INC-7", None)
    assert set(hotfix["missing"]) == {"development", "staging"}
    key = page_key(SOLVER, "production", urgent.run.run_id, "merge-back")

    async def queued() -> str:
        async with wiring.connect() as desk:
            return (await desk.ledger.outbox.get(key)).page.title

    assert "is live and not yet in staging and development" in asyncio.run(queued())


def test_production_takes_no_release_without_the_hotfix(
    airflow: OwnAirflow, platform: OwnPlatform, first: Way, urgent: Urgent
) -> None:
    run = airflow.run(f"promote_{SOLVER}_production", release=first.release)
    assert run.with_state("failed") == {"resolve", "watcher"}
    (page,) = airflow.pages(run)
    assert "does not hold the hotfix 1.0.1-" in page
    assert served(platform, "production")[0] == urgent.commit


def test_what_does_not_come_of_main_is_no_hotfix(airflow: OwnAirflow, second: Way, urgent: Urgent) -> None:
    run = airflow.run(HOTFIX, commit=second.commit.id, why="it is quicker this way")
    assert run.with_state("failed") == {"resolve", "watcher"}
    (page,) = airflow.pages(run)
    assert f"{second.commit.id[:8]} does not come of main" in page


def test_nobody_starts_a_hotfix_without_a_reason(airflow: OwnAirflow, urgent: Urgent) -> None:
    run = airflow.run(HOTFIX, commit=BRANCH)
    assert run.with_state("failed") == {"resolve", "watcher"}
