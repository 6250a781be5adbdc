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
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import psycopg
import structlog
import yaml
from own_platform import OwnPlatform

from local_platform.layout import CHECKOUT
from local_platform.services.airflow import airflow_settings, passwords
from local_platform.sources import Commit

DATABASE = "airflow_dag_tests"
DAGS = CHECKOUT / "dags"
POLICY = CHECKOUT / "include/config/gate-policy.yaml"
REQUESTER = "dag_test"
"""Whom `dag().test()` and `airflow dags test` name as the person that triggered the run."""
EVERYBODY = {"qa": ("qa",), "senior_developer": ("senior1", "senior2"), "devops": ("devops",)}
"""Who answers for a role, seat by seat."""


@dataclass(frozen=True)
class TestRun:
    """How a run of `dag().test()` ended."""

    __test__ = False

    dag_id: str
    run_id: str
    state: str
    tasks: Mapping[str, str]
    log: str
    """What all of its tasks wrote."""

    @property
    def red(self) -> bool:
        return self.state == "failed"

    def with_state(self, state: str) -> set[str]:
        return {task for task, its in self.tasks.items() if its == state}


@dataclass(frozen=True)
class Way:
    """A release and its run in each environment that it was let into."""

    commit: Commit
    runs: Mapping[str, TestRun]
    import_errors: Mapping[str, str] = field(default_factory=dict)
    """Of the DAG files, as they were when the runs were over."""
    dags: frozenset[str] = frozenset()
    """The DAGs that there were then."""

    @property
    def release(self) -> str:
        """Its name, as the form takes it."""
        return f"{self.commit.version}-{self.commit.id[:8]}"


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

    @property
    def gate_policy(self) -> Path:
        return self.home / "gate-policy.yaml"

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
            "PLATFORM_OPS_GATE_POLICY": str(self.gate_policy),
            "PLATFORM_OPS_STATE": str(self.home / "product"),
            "PLATFORM_OPS_AIRFLOW_URL": self.url,
        }
        return {**airflow_settings(self.platform.supervisor.platform), **self.platform.settings, **own}

    def write_catalog(self, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        """The platform's catalog with the requester of test runs in it, and waits that a test can afford.

        Development checks what the stand-in's metrics say, too: so a release can be bad there already.
        """
        entries = yaml.safe_load((CHECKOUT / "astro/local/services.yaml").read_text(encoding="utf-8"))
        entries["people"][REQUESTER] = {"roles": ["developer"]}
        entries["profiles"]["local"] |= {"wait_timer": 0.0034, "bake": 0.01}
        solver = entries["services"]["fm-llm-solver"]["environments"]
        solver["development"]["checks"] = [{"path": "/health"}, {"path": "/api/metrics"}]
        solver["production"]["strategy"] = {**solver["production"]["strategy"], "step_hold": "PT2S"}
        if change is not None:
            change(entries)
        self.catalog.write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")

    def write_policy(self, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        """The project's gate policy, for tests of other things without the gates that take long."""
        policy = yaml.safe_load(POLICY.read_text(encoding="utf-8"))
        policy["every_environment"] = ["lint", "unit", "source", "image", "freeze"]
        if change is not None:
            change(policy)
        self.gate_policy.write_text(yaml.safe_dump(policy, sort_keys=False), encoding="utf-8")

    def break_catalog(self) -> None:
        """A typo, as somebody saves it."""
        text = self.catalog.read_text(encoding="utf-8")
        self.catalog.write_text(text.replace("strategy:", "stratgy:", 1), encoding="utf-8")

    def run(
        self, dag_id: str, *, mark_success: str | None = None, after: datetime | None = None, **params: Any
    ) -> TestRun:
        """One run of a DAG, its tasks and triggers in this process; `mark_success` is a pattern of tasks
        that somebody marks as successful instead of letting them run; its id is made from `after`, or from
        the time."""
        dag = dag_bag().dags[dag_id]
        with _heard() as lines:
            run = dag.test(run_after=after, run_conf=params or None, mark_success_pattern=mark_success)
        tasks = {ti.task_id: str(ti.state or "none") for ti in _task_instances(dag_id, run.run_id)}
        return TestRun(dag_id, run.run_id, str(run.state), tasks, "\n".join(lines))

    def ops(self, *arguments: str) -> Any:
        """What `ops … --json` answers with these settings."""
        done = self.platform.run("ops", *arguments, "--json", settings=self.settings())
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def end_hold(self, service: str, release: str) -> None:
        """Somebody lets a release go on that went back in another test, if one did that."""
        login = {
            "PLATFORM_OPS_AIRFLOW_USER": "devops",
            "PLATFORM_OPS_AIRFLOW_PASSWORD": self.platform.passwords["devops"],
        }
        command = ("ops", "release-digest", service, release, "--why", "it went back for a test")
        done = self.platform.run(*command, settings={**self.settings(), **login})
        assert done.returncode == 0 or "is not on hold" in done.stderr, done.stderr

    def audit(self, run: TestRun) -> dict[str, Any]:
        """What the ledger holds of a run's promotion."""
        service = run.dag_id.split("_", 2)[1]
        records = self.ops("audit", service)
        found: dict[str, Any] = next(one for one in records if one["promotion"]["run_id"] == run.run_id)
        return found

    def acts(self, run: TestRun) -> list[str]:
        """What the controller did for a run, in order."""
        return [entry["what"] for entry in self.audit(run)["journal"] if entry["kind"] == "done"]

    def pages(self, run: TestRun) -> list[str]:
        """The texts of the pages in the inbox that link to a log of this run."""
        texts = [page["text"] for page in self.platform.pages()]
        return [text for text in texts if run.run_id in unquote(text)]


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Every line that Airflow's loggers write meanwhile: `dag().test()` keeps no log files."""
    processors = structlog.get_config()["processors"]
    render, lines = processors[-1], list[str]()

    def heard(logger: Any, method: str, event: Any) -> Any:
        rendered = render(logger, method, event)
        lines.append(str(rendered))
        return rendered

    # In place: loggers that were used before hold this very list.
    processors[-1] = heard
    try:
        yield lines
    finally:
        processors[-1] = render


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
    airflow.write_policy()
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
    # Only a running platform knows the images that it has built.
    os.environ.update(airflow.settings())
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
    """Role to the users that answer for it, seat by seat; a seat without one stays open."""
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
        present = self.people.get(role, ())
        if len(present) < int(seat):
            return
        user = present[int(seat) - 1]
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


@contextmanager
def when_a_rollout_begins(
    airflow: OwnAirflow, service: str, environment: str, act: Callable[[], None]
) -> Iterator[None]:
    """Do something as soon as the ledger holds a rollout more than now; that it was done is asserted."""
    count = "SELECT count(*) FROM ledger.rollouts WHERE service = %s AND environment = %s"
    done, stop = threading.Event(), threading.Event()

    def watch() -> None:
        with psycopg.connect(airflow.platform.dsn("ledger_owner", "ledger"), autocommit=True) as connection:

            def rollouts() -> int:
                row = connection.execute(count, (service, environment)).fetchone()
                return int(row[0]) if row else 0

            before = rollouts()
            watching.set()
            while not stop.wait(0.1):
                if rollouts() > before:
                    act()
                    done.set()
                    return

    watching = threading.Event()
    thread = threading.Thread(target=watch, name="when-a-rollout-begins", daemon=True)
    thread.start()
    assert watching.wait(30), "the ledger does not answer"
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert done.is_set(), f"no rollout of {service} began in {environment}"
