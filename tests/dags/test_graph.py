"""A promotion is a line that reads as the runbook; paging and the watcher stand behind its end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

BEFORE_APPROVAL = {
    "development": ["build", "check_image"],
    "staging": ["check_image"],
    "production": ["check_image"],
}
CHECKS = ("check_source", "verify_signatures")
"""They run beside each other."""
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


@pytest.mark.parametrize("environment", BEFORE_APPROVAL)
@pytest.mark.parametrize("service", ["llm-service", "fm-llm-solver"])
def test_a_promotion_is_a_line(dags: dict[str, Any], service: str, environment: str) -> None:
    before, seats = BEFORE_APPROVAL[environment], SEATS[environment]
    expected = line(before) | line([*AFTER_APPROVAL, *IN_GIT[environment], "record"])
    for check in CHECKS:
        expected |= {("resolve", check), (check, before[0])}
    for seat in seats:
        expected |= {(before[-1], seat), (seat, AFTER_APPROVAL[0])}
    if not seats:
        expected.add((before[-1], AFTER_APPROVAL[0]))
    expected |= {("record", "page"), ("record", "watcher")}
    assert edges(dags[f"promote_{service}_{environment}"]) == expected


@pytest.mark.parametrize("environment", BEFORE_APPROVAL)
@pytest.mark.parametrize("service", ["llm-service", "fm-llm-solver"])
def test_a_rollback_is_one_step(dags: dict[str, Any], service: str, environment: str) -> None:
    dag = dags[f"rollback_{service}_{environment}"]
    assert edges(dag) == {("roll_back", "page"), ("roll_back", "watcher")}


@pytest.mark.parametrize("service", ["llm-service", "fm-llm-solver"])
def test_a_hotfix_is_a_line_with_seats_of_its_own_and_no_wait(dags: dict[str, Any], service: str) -> None:
    before = ["resolve", "check_source", "build", "check_image"]
    seats = {"approve.vote_senior_developer_1", "approve.vote_devops_1"}
    after = ["approve.record_approvals", "pre_empt", *AFTER_APPROVAL[1:], "merge"]
    expected = line(before) | line(after) | {("merge", "page"), ("merge", "watcher")}
    for seat in seats:
        expected |= {(before[-1], seat), (seat, after[0])}
    assert edges(dags[f"hotfix_{service}"]) == expected


@pytest.mark.parametrize("environment", BEFORE_APPROVAL)
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
