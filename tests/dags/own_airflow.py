"""Airflow for the DAG tests: a database of its own in the platform's PostgreSQL, its API in a thread, and
`dag().test()` in this process. Nothing of Airflow is imported before its settings are in the environment."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml
from local_platform.layout import CHECKOUT
from local_platform.services.airflow import airflow_settings, passwords
from own_platform import OwnPlatform

DATABASE = "airflow_dag_tests"
DAGS = CHECKOUT / "dags"
REQUESTER = "dag_test"
"""Whom `dag().test()` and `airflow dags test` name as the person that triggered the run."""


@dataclass(frozen=True)
class TestRun:
    """How a run of `dag().test()` ended."""

    __test__ = False

    dag_id: str
    run_id: str
    state: str
    tasks: Mapping[str, str]

    @property
    def red(self) -> bool:
        return self.state == "failed"

    def with_state(self, state: str) -> set[str]:
        return {task for task, its in self.tasks.items() if its == state}


@dataclass
class OwnAirflow:
    """The settings stand in this process's environment for as long as the tests of this folder run."""

    platform: OwnPlatform
    home: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def catalog(self) -> Path:
        return self.home / "services.yaml"

    def settings(self) -> dict[str, str]:
        own = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.platform.dsn(
                "airflow", DATABASE, "postgresql+psycopg2"
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": self.platform.dsn(
                "airflow", DATABASE, "postgresql+asyncpg"
            ),
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "PLATFORM_OPS_CATALOG": str(self.catalog),
            "PLATFORM_OPS_STATE": str(self.home / "product"),
            "PLATFORM_OPS_AIRFLOW_URL": self.url,
        }
        return {**airflow_settings(self.platform.supervisor.platform), **self.platform.settings, **own}

    def write_catalog(self, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        """The platform's catalog, in which the requester of test runs is a developer."""
        entries = yaml.safe_load((CHECKOUT / "astro/local/services.yaml").read_text(encoding="utf-8"))
        entries["people"][REQUESTER] = {"roles": ["developer"]}
        if change is not None:
            change(entries)
        self.catalog.write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")

    def dag_ids(self) -> list[str]:
        return sorted(dag_bag().dags)

    def run(self, dag_id: str, **params: Any) -> TestRun:
        """One run of a DAG, its tasks and triggers in this process; time-outs are the tests'."""
        dag = dag_bag().dags[dag_id]
        run = dag.test(run_conf=params or None)
        tasks = {ti.task_id: str(ti.state or "none") for ti in _task_instances(dag_id, run.run_id)}
        return TestRun(dag_id, run.run_id, str(run.state), tasks)

    def task_log(self, run: TestRun, task_id: str) -> str:
        """What the task wrote, all tries one after the other."""
        folder = self.home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}" / f"task_id={task_id}"
        return "\n".join(path.read_text(errors="replace") for path in sorted(folder.glob("attempt=*.log")))


def dag_bag(folder: Path = DAGS) -> Any:
    """The folder's DAGs, parsed now."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=folder, load_op_links=False)


@contextmanager
def own_airflow(platform: OwnPlatform, home: Path) -> Iterator[OwnAirflow]:
    """The environment, the catalog and the users; no process and no database yet."""
    airflow = OwnAirflow(platform, home, _free_port())
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "product").mkdir(exist_ok=True)
    (home / "passwords.json").write_text(json.dumps(passwords(platform.supervisor.platform)))
    airflow.write_catalog()
    settings = airflow.settings()
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        _use_these_settings()
        yield airflow
    finally:
        os.environ.clear()
        os.environ.update(before)


def _use_these_settings() -> None:
    """Also when another test of this session has imported Airflow before."""
    from airflow import settings

    settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()


@contextmanager
def database_and_api(airflow: OwnAirflow) -> Iterator[None]:
    """Airflow's tables, migrated once, and its API on the port that the settings name."""
    with psycopg.connect(airflow.platform.dsn("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE} OWNER airflow")
    done = airflow.platform.run("airflow", "db", "migrate", settings=airflow.settings())
    assert done.returncode == 0, done.stderr[-2000:]

    import uvicorn
    from airflow.api_fastapi.app import create_app

    server = uvicorn.Server(
        uvicorn.Config(create_app(), host="127.0.0.1", port=airflow.port, log_level="warning")
    )
    thread = threading.Thread(target=server.run, name="airflow-api", daemon=True)
    thread.start()
    try:
        _await(lambda: server.started or not thread.is_alive(), "Airflow's API")
        yield
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "Airflow's API did not end"


@dataclass
class Voters:
    """People who answer what they are asked, each with a login of their own, as the pages would let them."""

    airflow: OwnAirflow
    people: Mapping[str, tuple[str, ...]]
    """Role to the users that answer for it, in turn."""
    rejecting: frozenset[str] = frozenset()
    """Users that answer Reject."""
    answered: list[tuple[str, str, str]] = field(default_factory=list)
    """Task, user, option."""

    @contextmanager
    def at_work(self) -> Iterator[Voters]:
        stop, failures = threading.Event(), list[BaseException]()

        def answer_all() -> None:
            try:
                with httpx.Client(base_url=self.airflow.url, trust_env=False, timeout=30) as client:
                    while not stop.wait(0.3):
                        self._answer_open(client)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=answer_all, name="voters", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join(60)
        assert not failures, f"a vote failed: {failures[0]!r}"

    def _answer_open(self, client: httpx.Client) -> None:
        admin = self._headers(client, "admin")
        found = client.get(
            "/api/v2/dags/~/dagRuns/~/hitlDetails", params={"response_received": "false"}, headers=admin
        )
        found.raise_for_status()
        for one in found.json()["hitl_details"]:
            task = one["task_instance"]
            if task["state"] == "awaiting_input":
                self._answer(client, task)

    def _answer(self, client: httpx.Client, task: Mapping[str, Any]) -> None:
        role, _, seat = task["task_id"].rpartition(".")[2].removeprefix("vote_").rpartition("_")
        user = self.people[role][int(seat) - 1]
        option = "Reject" if user in self.rejecting else "Approve"
        path = f"/api/v2/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        answer = client.patch(
            f"{path}/{task['map_index']}/hitlDetails",
            json={"chosen_options": [option], "params_input": {}},
            headers=self._headers(client, user),
        )
        if answer.status_code == httpx.codes.CONFLICT:
            return
        assert answer.is_success, f"{user} could not answer {task['task_id']}: {answer.text}"
        self.answered.append((task["task_id"], user, option))

    def _headers(self, client: httpx.Client, user: str) -> dict[str, str]:
        login = {"username": user, "password": self.airflow.platform.passwords[user]}
        answer = client.post("/auth/token", json=login)
        answer.raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def _task_instances(dag_id: str, run_id: str) -> list[Any]:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        instances = list(session.scalars(found))
        session.expunge_all()
        return instances


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, f"{what} did not start"
        time.sleep(0.05)
