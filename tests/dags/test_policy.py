"""What every DAG of the checkout keeps to, whatever it does."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from own_airflow import DAGS, OwnAirflow, dag_bag

from local_platform.layout import CHECKOUT

SERVICES = ("llm-service", "fm-llm-solver")
ENVIRONMENTS = ("development", "staging", "production")
HOTFIXES = {f"hotfix_{service}" for service in SERVICES}
PER_SERVICE = HOTFIXES | {
    f"{verb}_{service}_{environment}"
    for verb in ("promote", "rollback", "reclaim")
    for service in SERVICES
    for environment in ENVIRONMENTS
}
DAGS_BY_FILE = {
    "promotion.py": {dag_id for dag_id in PER_SERVICE if dag_id.startswith("promote_")},
    "rollback.py": {dag_id for dag_id in PER_SERVICE if dag_id.startswith("rollback_")},
    "hotfix.py": HOTFIXES,
    "reclaim.py": {dag_id for dag_id in PER_SERVICE if dag_id.startswith("reclaim_")},
    "catalog_check.py": {"catalog_check"},
}
STARTED_BY_A_PERSON = {"promote_llm-service_production", "promote_fm-llm-solver_production"}


@pytest.fixture
def forbidden_sockets(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """No connection can be made, no name resolved; what was tried is listed."""
    tried: list[object] = []

    def refuse(*arguments: object, **options: object) -> None:
        tried.append(arguments)
        raise OSError("no network while parsing")

    for method in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, method, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


def serialised(bag: Any) -> dict[str, str]:
    from airflow.serialization.serialized_objects import DagSerialization

    return {
        dag_id: json.dumps(DagSerialization.to_dict(dag), sort_keys=True, default=str)
        for dag_id, dag in bag.dags.items()
    }


def callbacks(one: Any) -> list[Any]:
    """Callbacks of a task or DAG as a list, however they were given."""
    given = one.on_failure_callback
    return list(given) if isinstance(given, (list, tuple)) else [given] if given else []


def test_each_file_makes_the_dags_that_the_catalog_asks_for(dags: dict[str, Any]) -> None:
    found: dict[str, set[str]] = {}
    for dag_id, dag in dags.items():
        found.setdefault(Path(dag.fileloc).name, set()).add(dag_id)
    assert found == DAGS_BY_FILE


def test_every_file_of_the_folder_is_listed_here() -> None:
    assert {path.relative_to(DAGS).as_posix() for path in DAGS.rglob("*.py")} == set(DAGS_BY_FILE)


def test_every_dag_says_what_it_is_for(dags: dict[str, Any]) -> None:
    assert {dag_id for dag_id, dag in dags.items() if not (dag.doc_md or "").strip()} == set()
    assert {dag_id for dag_id, dag in dags.items() if not dag.description} == set()
    assert {dag_id for dag_id, dag in dags.items() if not dag.tags} == set()


def test_every_task_has_an_owner_who_is_not_airflows_default(dags: dict[str, Any]) -> None:
    owners = {task.owner for dag in dags.values() for task in dag.tasks}
    assert owners == {"platform-ops"}


def test_dags_of_a_service_are_tagged_with_verb_service_and_environment(dags: dict[str, Any]) -> None:
    for dag_id in PER_SERVICE:
        assert set(dag_id.split("_", 2)) <= set(dags[dag_id].tags), dag_id


def test_steps_are_retried_and_the_watcher_is_not(dags: dict[str, Any]) -> None:
    for dag_id in PER_SERVICE:
        retries = {task.task_id: task.retries for task in dags[dag_id].tasks}
        assert retries.pop("watcher") == 0
        assert min(retries.values()) >= 2, (dag_id, retries)


def test_every_failure_is_paged(dags: dict[str, Any]) -> None:
    from platform_ops.orchestration import paging

    for dag_id in PER_SERVICE:
        dag = dags[dag_id]
        assert [one.__name__ for one in callbacks(dag)] == [paging.page_failed_run.__name__]
        silent = {task.task_id for task in dag.tasks if not callbacks(task)}
        assert silent == set(), dag_id


def test_a_service_has_one_run_of_a_kind_at_a_time_and_no_past_to_catch_up_with(dags: dict[str, Any]) -> None:
    for dag_id in PER_SERVICE:
        assert (dags[dag_id].max_active_runs, dags[dag_id].catchup) == (1, False), dag_id


def test_only_production_and_what_follows_wait_for_a_person(dags: dict[str, Any]) -> None:
    unscheduled = {dag_id for dag_id, dag in dags.items() if not dag.schedule}
    by_hand = HOTFIXES | DAGS_BY_FILE["rollback.py"] | DAGS_BY_FILE["reclaim.py"]
    assert unscheduled == STARTED_BY_A_PERSON | by_hand


def test_params_have_defaults_that_their_own_schema_accepts(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        dag.params.validate()


def test_the_form_is_the_dags_and_no_task_carries_a_copy_of_it(dags: dict[str, Any]) -> None:
    """A copy costs more than the task itself when the DAG is serialised."""
    assert set(dags["promote_llm-service_production"].params) == {"release", "fixes"}
    assert set(dags["rollback_llm-service_production"].params) == {"to", "reason"}
    copies = {(dag_id, task.task_id) for dag_id, dag in dags.items() for task in dag.tasks if task.params}
    assert copies == set()


def test_approvals_time_out_by_their_response_and_never_by_execution(dags: dict[str, Any]) -> None:
    votes = [task for dag in dags.values() for task in dag.tasks if ".vote_" in task.task_id]
    assert len(votes) == len(SERVICES) * (1 + 3 + 2)
    assert all(vote.response_timeout and vote.execution_timeout is None for vote in votes)
    assert all(vote.assigned_users for vote in votes), "an empty list would let anybody answer"


def test_parsing_opens_no_connection(airflow_settings: OwnAirflow, forbidden_sockets: list[object]) -> None:
    bag = dag_bag()
    assert (bag.import_errors, forbidden_sockets) == ({}, [])
    assert len(bag.dags) == len(PER_SERVICE) + 1


def test_two_parses_give_the_same_dags(airflow_settings: OwnAirflow) -> None:
    assert serialised(dag_bag()) == serialised(dag_bag())


def test_dag_files_need_nothing_of_the_dags_folder_on_the_path() -> None:
    """The triggerer and the callbacks have no DAG folder on sys.path: everything is in the package."""
    siblings = {path.stem for path in DAGS.glob("*.py")}
    for path in (CHECKOUT / "include/platform_ops/orchestration").glob("*.py"):
        words = path.read_text(encoding="utf-8")
        assert not [name for name in siblings if f"import {name}\n" in words], path.name
