"""The sequence of the demonstration: two versions of the analyzer go from a commit to all production traffic.

Everything is done as people would do it: git pushes, Airflow's REST API with four logins, requests through
the gateway. What is proven in the end is read from the cluster, the load's own records, the ledger and the
inbox.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any

import httpx

from local_platform.demo.people import DagRun, Desk
from local_platform.demo.report import Event
from local_platform.demo.versions import LONG_CONTEXT, Fault, defect
from local_platform.demo.watch import ClusterView, record_weights
from local_platform.errors import PlatformError
from local_platform.layout import CHECKOUT
from local_platform.product import all_settings
from local_platform.services.airflow import passwords
from local_platform.services.git import Git
from local_platform.services.part import Context
from local_platform.sources import Commit, ServiceRepository

SERVICE = "llm-service"
NAMESPACE = "llm-service-prod"
HOST = "api.llm-service.example.com"
REQUESTER = "developer"
SEATS = {"qa": ("qa",), "senior_developer": ("senior1", "senior2"), "devops": ("devops",)}
"""Who answers which role's seats; distinct people for the two senior developers."""
RATE = 50
WAY = ("development", "staging", "production")
RUN_LIMIT_S = 900.0


@dataclass(frozen=True)
class Version:
    """One version on its way, with the runs that took it along."""

    began: float
    """When it was pushed, in Unix seconds."""
    commit: Commit
    development: DagRun
    staging: DagRun
    production: DagRun


@dataclass
class Told:
    """What happened, as it happened."""

    events: list[Event] = field(default_factory=list)

    def tell(self, what: str) -> None:
        self.events.append(Event(time(), what))
        print(f"[{time() - self.events[0].at:6.1f} s] {what}", flush=True)


class Demonstration:
    """One telling. `folder` gets the load's records, the weights seen, and the report."""

    def __init__(self, platform: Context, folder: Path, *, by_hand: bool) -> None:
        self.platform = platform
        self.folder = folder
        self.by_hand = by_hand
        self.told = Told()
        self.load_records = folder / "requests.ndjson"
        self.weights_seen = folder / "weights.ndjson"
        self.view = ClusterView(platform.layout.state / "kube" / "controller.yaml", "production")
        self.http = httpx.AsyncClient(timeout=30)
        self.desk = Desk(platform.url("airflow"), passwords(platform), self.http)

    async def tell(self, fault: Fault | None) -> tuple[Version, Version]:
        """Both versions through all environments; returns when the second one's run in production has
        ended."""
        repository = Git(self.platform).clone(SERVICE, self.folder / "clone")
        try:
            await self._until("Airflow knows the service's DAGs", self._dags_are_known, limit_s=180)
            # An earlier telling's release may be a bad one: what it does to requests is not this telling's.
            await self._finish_what_runs()
            async with self._under_load():
                first = await self._version(repository, None)
                second = await self._version(repository, fault)
                await asyncio.sleep(3)
        finally:
            await self.view.close()
            await self.http.aclose()
        return first, second

    @asynccontextmanager
    async def _under_load(self) -> AsyncIterator[None]:
        """Requests are sent, and weights written down, until the block ends."""
        stopping = asyncio.Event()
        self.weights_seen.touch()
        watching = asyncio.create_task(
            record_weights(self.view, NAMESPACE, SERVICE, self.weights_seen, stopping)
        )
        loading = asyncio.create_task(self._load_when_live(stopping))
        try:
            yield
        finally:
            stopping.set()
            await asyncio.gather(watching, loading)

    async def _version(self, repository: ServiceRepository, fault: Fault | None) -> Version:
        seen = {environment: await self._run_ids(environment) for environment in ("development", "staging")}
        began = time()
        commit = await asyncio.to_thread(repository.commit, defect(fault) if fault else None)
        self.told.tell(
            f"developer pushes {commit.version} ({commit.id[:8]}) to development"
            + (f", with {fault}" if fault else "")
        )
        development = await self._finish(await self._new_run("development", seen["development"]))
        self._require_success(development)
        staging = await self._finish(await self._new_run("staging", seen["staging"]))
        self._require_success(staging)
        started = await self.desk.trigger(REQUESTER, _dag("production"))
        self.told.tell(f"{REQUESTER} starts the promotion to production in Airflow")
        production = await self._finish(started)
        if fault is None:
            self._require_success(production)
        return Version(began, commit, development, staging, production)

    async def _finish_what_runs(self) -> None:
        """An interrupted telling leaves runs that wait for votes; one runs at a time, so they end first."""
        for environment in WAY:
            for run in reversed(await self.desk.runs(_dag(environment))):
                if not run.finished:
                    self.told.tell(f"{environment}: run {run.run_id} of an earlier telling is not over yet")
                    await self._finish(run)

    async def _run_ids(self, environment: str) -> frozenset[str]:
        return frozenset(run.run_id for run in await self.desk.runs(_dag(environment)))

    async def _dags_are_known(self) -> bool:
        needed = {_dag(environment) for environment in WAY}
        return needed <= await self.desk.known_dags()

    async def _new_run(self, environment: str, seen: frozenset[str]) -> DagRun:
        found: list[DagRun] = []

        async def there() -> bool:
            found[:] = [run for run in await self.desk.runs(_dag(environment)) if run.run_id not in seen]
            return bool(found)

        await self._until(f"the promotion to {environment} starts", there, limit_s=120)
        self.told.tell(f"{environment}: the promotion starts by itself")
        return found[-1]

    async def _finish(self, run: DagRun) -> DagRun:
        """Follow a run to its end; answer its approvals unless a person does."""
        shown: dict[str, str] = {}
        seats: dict[str, str] = {}
        deadline = monotonic() + RUN_LIMIT_S
        while not run.finished:
            if monotonic() > deadline:
                raise PlatformError(
                    f"{run.dag_id} {run.run_id} did not end within {RUN_LIMIT_S:.0f} s: {shown}"
                )
            await self._vote(run, seats)
            await asyncio.sleep(1)
            states = await self.desk.task_states(run)
            self._show(run, shown, states)
            run = await self.desk.run(run.dag_id, run.run_id)
        self._show(run, shown, await self.desk.task_states(run))
        self.told.tell(f"{_environment(run)}: run {run.state}")
        return run

    def _show(self, run: DagRun, shown: dict[str, str], states: dict[str, str]) -> None:
        for task, state in states.items():
            if (
                state in ("success", "failed")
                and shown.get(task) != state
                and task not in ("page", "watcher")
            ):
                self.told.tell(f"{_environment(run)}: {task} {'done' if state == 'success' else 'FAILED'}")
            shown[task] = state

    async def _vote(self, run: DagRun, seats: dict[str, str]) -> None:
        """Answer open seats. A seat that Airflow asks for again is answered by the person who had it."""
        for seat in await self.desk.open_seats(run):
            task = seat["task_instance"]["task_id"]
            role = task.rpartition("vote_")[2].rpartition("_")[0]
            free = (user for user in SEATS[role] if user not in seats.values())
            user = seats.get(task) or ("a person" if self.by_hand else next(free))
            known = task in seats
            if self.by_hand:
                words = f"waiting for a person: {seat['subject']} as {role}, {self.desk.url}/required_actions"
            elif await self.desk.approve(user, seat):
                words = f"{_environment(run)}: {user} approves as {role}"
            else:
                continue
            seats[task] = user
            if not known:
                self.told.tell(words)

    def _require_success(self, run: DagRun) -> None:
        if run.state != "success":
            raise PlatformError(
                f"{run.dag_id} failed; look at {self.desk.url}/dags/{run.dag_id}/runs/{run.run_id}"
            )

    async def _until(self, what: str, there: Callable[[], Any], limit_s: float) -> None:
        deadline = monotonic() + limit_s
        while monotonic() < deadline:
            if await there():
                return
            await asyncio.sleep(1)
        raise PlatformError(
            f"waited {limit_s:.0f} s, but not yet: {what}; `make status` and the logs say more"
        )

    async def _load_when_live(self, stopping: asyncio.Event) -> None:
        """From production's first good answer to the end: a process of its own sends the load."""
        while not stopping.is_set() and not await self._is_live():
            await asyncio.sleep(0.5)
        if stopping.is_set():
            return
        self.told.tell(f"production answers: {RATE} requests/s begin, kept-alive, new and slow ones")
        process = await asyncio.create_subprocess_exec(
            *self._load_command(), env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.DEVNULL
        )
        await stopping.wait()
        process.send_signal(signal.SIGTERM)
        await process.wait()

    async def _is_live(self) -> bool:
        try:
            answer = await self.http.get(self.platform.url("gateway") + "/readiness", headers={"Host": HOST})
        except httpx.TransportError:
            return False
        return answer.is_success

    def _load_command(self) -> list[str]:
        key = all_settings(self.platform)["PLATFORM_OPS_CHECK_KEY_LLM_SERVICE_PRODUCTION"]
        bodies = self.folder / "bodies.ndjson"
        bodies.write_text("\n".join(json.dumps(body) for body in _questions()) + "\n", encoding="utf-8")
        return [
            *(sys.executable, "-m", "local_platform.demo.load"),
            *("--url", self.platform.url("gateway"), "--host", HOST, "--rate", str(RATE)),
            *("--path", "/analyze", "--bodies", str(bodies)),
            *("--out", str(self.load_records), "--header", f"X-API-KEY:{key}"),
        ]

    def built_digest(self, commit: Commit) -> str | None:
        """The digest that the registry has under the tag of the development build."""
        tag = f"{commit.version}-{commit.id[:8]}"
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        answer = httpx.head(f"{self.platform.url('registry')}/v2/{SERVICE}/manifests/{tag}", headers=accept)
        return answer.headers.get("docker-content-digest") if answer.is_success else None

    async def messages(self) -> list[dict[str, Any]]:
        """What arrived in the inbox, all channels."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(self.platform.url("inbox") + "/api/messages")
        answer.raise_for_status()
        return list(answer.json()["messages"])

    def links(self, version: Version) -> list[tuple[str, str]]:
        run = version.production
        return [
            ("Airflow: the run in production", f"{self.desk.url}/dags/{run.dag_id}/runs/{run.run_id}"),
            ("Airflow: all DAGs (users and passwords: make status)", f"{self.desk.url}/dags"),
            ("Inbox: what Slack would have got", self.platform.url("inbox")),
            ("Prometheus", self.platform.url("prometheus")),
        ]

    def ops(self, *arguments: str) -> Any:
        """What `ops … --json` answers."""
        command = [self.platform.layout.program("ops"), *arguments, "--json"]
        env = {**self.platform.environment(), **all_settings(self.platform)}
        done = subprocess.run(command, env=env, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PlatformError(f"`ops {' '.join(arguments)}` failed: {done.stderr.strip()}")
        return json.loads(done.stdout)


def _questions() -> list[dict[str, str]]:
    """What users ask: every third time about a value with a long context."""
    short = {"secret_value": "not-a-secret", "context": "greeting = VALUE", "variable_name": "greeting"}
    long = {**short, "context": "config line " * (LONG_CONTEXT // 10)}
    return [short, short, long]


def _dag(environment: str) -> str:
    return f"promote_{SERVICE}_{environment}"


def _environment(run: DagRun) -> str:
    return run.dag_id.rpartition("_")[2]
