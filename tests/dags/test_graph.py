"""A promotion reads as the runbook; paging and the watcher stand behind its end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

ENVIRONMENTS = ("development", "staging", "production")
GATES = {
    "development": {"lint", "unit"},
    "staging": {"lint", "unit", "integration", "api"},
    "production": {"lint", "unit", "integration", "api"},
}
"""Beside each other, each in its pod, by the tests' policy."""
SUITES = {"unit", "integration", "api"}
BESIDE = ("check_source", "verify_signatures")
IN_GIT = {"development": ["advance_branch"], "staging": [], "production": ["merge"]}
SEATS = {
    "development": set(),
    "staging": {"approve.vote_qa_1", "approve.wait_timer"},
    "production": {
        "approve.vote_senior_developer_1",
        "approve.vote_senior_developer_2",
        "approve.vote_devops_1",
        "approve.wait_timer",
    },
}
AFTER_APPROVAL = [
    "approve.record_approvals",
    "deploy_preview",
    "verify",
    "roll_out",
    "verify_active",
]


def line(tasks: list[str]) -> set[tuple[str, str]]:
    return set(pairwise(tasks))


def edges(dag: Any) -> set[tuple[str, str]]:
    return {(task.task_id, below) for task in dag.tasks for below in task.downstream_task_ids}


def gates_between(environment: str, after: str) -> set[tuple[str, str]]:
    """From `admit` to the step after the gates; the coverage of production comes of its suites."""
    production = environment == "production"
    expected = {edge for check in BESIDE for edge in (("admit", check), (check, after))}
    for gate in GATES[environment]:
        measured = production and gate in SUITES
        expected |= {("admit", f"gates.{gate}"), (f"gates.{gate}", "gates.coverage" if measured else after)}
    return expected | ({("gates.coverage", after)} if production else set())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("service", ["llm-service", "fm-llm-solver"])
def test_a_promotion_is_a_line_with_the_gates_beside_each_other(
    dags: dict[str, Any], service: str, environment: str
) -> None:
    builds, seats = environment == "development", SEATS[environment]
    expected = {("resolve", "admit")} | line([*AFTER_APPROVAL, *IN_GIT[environment], "record"])
    expected |= gates_between(environment, "build" if builds else "check_image")
    if builds:
        expected.add(("build", "check_image"))
    for seat in seats:
        expected |= {("check_image", seat), (seat, AFTER_APPROVAL[0])}
    if not seats:
        expected.add(("check_image", AFTER_APPROVAL[0]))
    expected |= {("record", "page"), ("record", "watcher")}
    assert edges(dags[f"promote_{service}_{environment}"]) == expected


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("service", ["llm-service", "fm-llm-solver"])
def test_a_rollback_is_one_step(dags: dict[str, Any], service: str, environment: str) -> None:
    dag = dags[f"rollback_{service}_{environment}"]
    assert edges(dag) == {("roll_back", "page"), ("roll_back", "watcher")}


@pytest.mark.parametrize("service", ["llm-service", "fm-llm-solver"])
def test_a_hotfix_is_a_line_with_seats_of_its_own_and_no_wait(dags: dict[str, Any], service: str) -> None:
    seats = {"approve.vote_senior_developer_1", "approve.vote_devops_1"}
    after = ["approve.record_approvals", "pre_empt", *AFTER_APPROVAL[1:], "record", "merge"]
    expected = {("resolve", "admit"), ("build", "check_image")} | gates_between("production", "build")
    expected |= line(after) | {("merge", "page"), ("merge", "watcher")}
    for seat in seats:
        expected |= {("check_image", seat), (seat, after[0])}
    assert edges(dags[f"hotfix_{service}"]) == expected


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_reclaiming_is_one_step(dags: dict[str, Any], environment: str) -> None:
    edges_there = edges(dags[f"reclaim_fm-llm-solver_{environment}"])
    assert edges_there == {("reclaim", "page"), ("reclaim", "watcher")}


def test_nobody_is_asked_twice_for_the_same_seat(dags: dict[str, Any]) -> None:
    """Each seat names the role's people, and no seat of another role names the same set."""
    dag = dags["promote_llm-service_production"]
    asked = {
        task.task_id: {user["id"] for user in task.assigned_users}
        for task in dag.tasks
        if ".vote_" in task.task_id
    }
    assert asked == {
        "approve.vote_senior_developer_1": {"senior1", "senior2"},
        "approve.vote_senior_developer_2": {"senior1", "senior2"},
        "approve.vote_devops_1": {"devops"},
    }
