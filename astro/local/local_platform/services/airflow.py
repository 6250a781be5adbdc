"""Airflow 3: database, API server, scheduler, DAG processor and triggerer, each a process of its own."""

from __future__ import annotations

import base64
import json
import secrets as random_source
from datetime import datetime
from importlib.metadata import version
from typing import ClassVar

from local_platform.cluster_access import ClusterAccess
from local_platform.errors import NotReadyError
from local_platform.kept import write_private
from local_platform.processes import read_record
from local_platform.product import product_settings
from local_platform.services.http import get
from local_platform.services.images import references
from local_platform.services.part import Command, Context, Part, run_step
from local_platform.services.postgres import Postgres

# `user` is the least role that may trigger DAGs and answer approvals; who answers which, the DAGs say.
USERS = {
    "developer": "user",
    "qa": "user",
    "senior1": "user",
    "senior2": "user",
    "senior3": "user",
    "senior4": "user",
    "devops": "user",
    "oncall": "user",
    "admin": "admin",
    "platform-ops": "user",
}
HEALTH_SECONDS = 30.0
"""Just after its start, on two busy cores, its health answers took over 5 s: that is slow, not failing."""
PARALLEL_TASKS = 4


def passwords(platform: Context) -> dict[str, str]:
    return {user: platform.secrets[f"airflow-user-{user}"] for user in USERS}


def _jwt_secret() -> str:
    """Airflow signs with HMAC-SHA512, whose key has at least 64 bytes (RFC 7518, section 3.2)."""
    return random_source.token_urlsafe(48)


def airflow_settings(platform: Context) -> dict[str, str]:
    """Airflow's own configuration, all of it by environment."""
    address, home = platform.url("airflow"), platform.layout.data("airflow")
    postgres = Postgres(platform)
    key = platform.secrets.get(
        "airflow-fernet", lambda: base64.urlsafe_b64encode(random_source.token_bytes(32)).decode()
    )
    settings = {
        "CORE__DAGS_FOLDER": str(platform.layout.dags),
        "CORE__PLUGINS_FOLDER": str(platform.layout.root / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(PARALLEL_TASKS),
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": "16",
        "CORE__FERNET_KEY": key,
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "5",
        "DATABASE__SQL_ALCHEMY_CONN": postgres.dsn("airflow", "airflow", "postgresql+psycopg2"),
        "API__HOST": "127.0.0.1",
        "API__PORT": str(platform.ports["airflow"]),
        "API__BASE_URL": address,
        "API__WORKERS": "1",
        "API__SECRET_KEY": platform.secrets["airflow-api"],
        "API_AUTH__JWT_SECRET": platform.secrets.get("airflow-jwt", _jwt_secret),
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "dag_processor"),
        # A busy machine answers late; a read time-out would fail queued tasks (5 s by default).
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # A worker that died is noticed after this time (300 s by default), and only then its task is retried.
        # Traffic does not wait for it, but the people who watch the run do. A living worker sends twelve
        # heartbeats meanwhile, and after three that failed it ends its task itself: no task runs twice.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    variables = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": _scan_connection(platform),
        **variables,
    }


def _scan_connection(platform: Context) -> str:
    """Where KubernetesPodOperator starts pods: with rights in the namespace of the scan pods only."""
    extra = {
        "kube_config_path": str(ClusterAccess(platform).kubeconfig("scan")),
        "in_cluster": False,
        "xcom_sidecar_container_image": references(platform).get("base", ""),
    }
    return json.dumps({"conn_type": "kubernetes", "extra": extra})


def task_environment(platform: Context) -> dict[str, str]:
    return {**platform.environment(), **airflow_settings(platform), **product_settings(platform)}


class AirflowDatabase(Part):
    """The step that brings Airflow's tables to the installed version."""

    name: ClassVar[str] = "airflow-database"
    needs: ClassVar[tuple[str, ...]] = ("postgres",)
    ports: ClassVar[tuple[str, ...]] = ("airflow",)

    def complete(self) -> None:
        home = self.platform.layout.data("airflow")
        write_private(home / "passwords.json", json.dumps(passwords(self.platform)) + "\n")
        stamp = home / "migrated"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == version("apache-airflow-core"):
            return
        argv = [self.platform.layout.program("airflow"), "db", "migrate"]
        run_step(argv, env=task_environment(self.platform), what="airflow db migrate", seconds=600)
        write_private(stamp, version("apache-airflow-core"))

    def where(self) -> str:
        return "database airflow"


class AirflowPart(Part):
    needs: ClassVar[tuple[str, ...]] = ("airflow-database", "images", "ledger")
    ready_seconds: ClassVar[float] = 180.0
    stop_seconds: ClassVar[float] = 25.0
    arguments: ClassVar[tuple[str, ...]]
    component: ClassVar[str]
    """Its name in the answer of `/api/v2/monitor/health`."""

    def command(self) -> Command:
        settings = {**airflow_settings(self.platform), **product_settings(self.platform)}
        return Command([self.platform.layout.program("airflow"), *self.arguments], settings)

    def probe(self) -> None:
        """Healthy counts only with a heartbeat of this process: a killed predecessor's looks the same."""
        url = self.platform.url("airflow") + "/api/v2/monitor/health"
        health = get(url, timeout=HEALTH_SECONDS).json()[self.component]
        if health["status"] != "healthy":
            raise NotReadyError(f"{self.component} is {health['status'] or 'not seen yet'}")
        beat = next((health[key] for key in health if key.startswith("latest_") and health[key]), None)
        record = read_record(self.platform.layout.state / "run" / f"{self.name}.json")
        if beat and record and datetime.fromisoformat(beat).timestamp() < record.started_at:
            raise NotReadyError(f"{self.component} has not sent a heartbeat since it was started")

    def where(self) -> str:
        return f"reads {self.platform.layout.dags}" if self.component == "dag_processor" else ""


class AirflowApi(AirflowPart):
    name: ClassVar[str] = "airflow-api"
    ports: ClassVar[tuple[str, ...]] = ("airflow",)
    arguments: ClassVar[tuple[str, ...]] = ("api-server",)
    component: ClassVar[str] = "metadatabase"

    def where(self) -> str:
        return self.platform.url("airflow")


class AirflowScheduler(AirflowPart):
    name: ClassVar[str] = "airflow-scheduler"
    arguments: ClassVar[tuple[str, ...]] = ("scheduler", "--skip-serve-logs")
    component: ClassVar[str] = "scheduler"


class AirflowDagProcessor(AirflowPart):
    name: ClassVar[str] = "airflow-dag-processor"
    arguments: ClassVar[tuple[str, ...]] = ("dag-processor",)
    component: ClassVar[str] = "dag_processor"


class AirflowTriggerer(AirflowPart):
    name: ClassVar[str] = "airflow-triggerer"
    arguments: ClassVar[tuple[str, ...]] = ("triggerer", "--skip-serve-logs")
    component: ClassVar[str] = "triggerer"
