"""`make up`, `status`, `down` and `reset` with real processes, each test on a platform of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import boto3
import psycopg
import pytest
from botocore.config import Config
from guard import guarded

from local_platform.cluster_access import ClusterAccess
from local_platform.kept import Ports, Secrets
from local_platform.layout import CHECKOUT, Layout
from local_platform.parts import PARTS
from local_platform.processes import Record, family, look_up, read_record
from local_platform.product import all_settings
from local_platform.services.part import Context
from local_platform.services.postgres import Postgres

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

SMALL = ("postgres", "valkey", "s3", "prometheus")


@dataclass(frozen=True)
class Lab:
    """One platform and the commands that a person would type."""

    state: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PLATFORM_OPS_")}
        return subprocess.Popen(
            [sys.executable, "-m", "local_platform", *arguments],
            env={**env, "PLATFORM_STATE": str(self.state)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        with self.start(*arguments) as command:
            output, _ = command.communicate(timeout=400)
        assert command.returncode == code, output
        return output

    def pids(self) -> dict[str, int]:
        records = {part.name: self._record(part.name) for part in PARTS}
        return {name: record.pid for name, record in records.items() if record}

    def _record(self, part: str) -> Record | None:
        return read_record(self.state / "run" / f"{part}.json")

    def processes(self) -> list[int]:
        """Every process of the platform, its parts' descendants included."""
        return [pid for part in PARTS for pid in self.processes_of(part.name)]

    def processes_of(self, part: str) -> list[int]:
        members = family(self._record(part), f"{self.state}/{part}")
        return [process.pid for process in members if look_up(process.pid)]

    def context(self) -> Context:
        layout = Layout(CHECKOUT, self.state)
        return Context(layout, Ports(self.state / "ports.json"), Secrets(self.state / "secrets.json"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "state")
    with guarded(made.state):
        yield made
        made.run("down")
        assert made.processes() == []


def test_up_starts_status_shows_and_down_leaves_nothing(lab: Lab) -> None:
    assert "postgres: ready after" in lab.run("up", *SMALL)
    status = lab.run("status", code=1)
    assert all(re.search(rf"^{part} +up ", status, re.MULTILINE) for part in SMALL)
    assert re.search(r"^airflow-api +down ", status, re.MULTILINE)
    members = lab.processes()
    assert len(members) > len(SMALL)

    lab.run("down")
    assert not [pid for pid in members if look_up(pid)]
    assert lab.processes() == []


def test_up_again_touches_nothing(lab: Lab) -> None:
    lab.run("up", *SMALL)
    before = lab.pids()

    assert "starting" not in lab.run("up", *SMALL)
    assert lab.pids() == before


def test_after_kill_9_of_everything_up_brings_all_back_with_its_data(lab: Lab) -> None:
    lab.run("up", *SMALL)
    with psycopg.connect(Postgres(lab.context()).dsn("ledger_owner", "ledger")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    before = lab.pids()
    for pid in lab.processes():
        os.kill(pid, signal.SIGKILL)

    lab.run("up", *SMALL)
    with psycopg.connect(Postgres(lab.context()).dsn("ledger_owner", "ledger")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert not set(before.values()) & set(lab.pids().values())


def test_envoy_outlives_a_killed_gateway_and_the_next_one_adopts_it(lab: Lab) -> None:
    lab.run("up", "gateway")
    killed = lab.pids()["gateway"]
    envoy = [pid for pid in lab.processes_of("gateway") if pid != killed]
    os.kill(killed, signal.SIGKILL)

    lab.run("up", "gateway")
    assert lab.pids()["gateway"] != killed
    assert [pid for pid in lab.processes_of("gateway") if pid != lab.pids()["gateway"]] == envoy


def test_status_names_the_part_that_died_and_up_restarts_that_one_only(lab: Lab) -> None:
    lab.run("up", *SMALL)
    before = lab.pids()
    os.kill(before["valkey"], signal.SIGKILL)

    assert re.search(r"^valkey +down +no process", lab.run("status", code=1), re.MULTILINE)
    lab.run("up", *SMALL)
    after = lab.pids()
    assert {name for name in after if after[name] != before[name]} == {"valkey"}


def test_interrupted_in_the_middle_up_goes_on_from_there(lab: Lab) -> None:
    with lab.start("up", *SMALL) as command:
        assert command.stdout is not None
        next(line for line in command.stdout if "starting" in line)
        command.send_signal(signal.SIGINT)
        rest = command.stdout.read()
    assert command.returncode == 130, rest
    assert "Traceback" not in rest

    lab.run("up", *SMALL)
    assert set(lab.pids()) == set(SMALL)


def test_a_taken_port_is_one_sentence_that_names_the_holder(lab: Lab) -> None:
    lab.run("env")
    with contextlib.closing(socket.create_server(("127.0.0.1", lab.context().ports["valkey"]))):
        said = lab.run("up", "valkey", code=1)

    assert f"(pid {os.getpid()})" in said
    assert re.search(r"valkey: port \d+ is taken by .*ports\.json", said)
    assert "Traceback" not in said


def test_a_second_command_is_told_who_is_at_work(lab: Lab) -> None:
    with lab.start("up", *SMALL) as first:
        assert first.stdout is not None
        next(line for line in first.stdout if "starting" in line)
        # It would be done before the second one has started, on a quick machine.
        first.send_signal(signal.SIGSTOP)
        try:
            said = lab.run("up", *SMALL, code=1)
        finally:
            first.send_signal(signal.SIGCONT)
        first.stdout.read()

    assert f"make up (pid {first.pid}) is at work on this platform" in said
    assert first.returncode == 0


def test_two_platforms_run_side_by_side_on_ports_of_their_own(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "other")
    lab.run("up", "valkey")
    with guarded(other.state):
        other.run("up", "valkey")
        assert lab.context().ports["valkey"] != other.context().ports["valkey"]
        other.run("down")
        assert look_up(lab.pids()["valkey"])
        other.run("reset")
    assert not other.state.exists()


def test_a_full_state_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    said = Lab(tmp_path / "file" / "state").run("up", "valkey", code=1)

    assert "cannot write the state folder" in said
    assert "Traceback" not in said


def test_the_state_folder_is_private(lab: Lab) -> None:
    lab.run("up", "valkey")

    assert lab.state.stat().st_mode & 0o777 == 0o700
    assert (lab.state / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_the_object_store_takes_a_put_and_serves_a_presigned_get(lab: Lab) -> None:
    lab.run("up", "s3")
    settings = all_settings(lab.context())
    client = boto3.client(
        "s3",
        endpoint_url=settings["PLATFORM_OPS_S3_URL"],
        aws_access_key_id=settings["PLATFORM_OPS_S3_ACCESS_KEY"],
        aws_secret_access_key=settings["PLATFORM_OPS_S3_SECRET_KEY"],
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
    )
    where = {"Bucket": settings["PLATFORM_OPS_S3_BUCKET"], "Key": "sources/a.bundle"}
    client.put_object(Body=b"bundle", **where)

    with urlopen(client.generate_presigned_url("get_object", Params=where, ExpiresIn=60)) as answer:
        assert answer.read() == b"bundle"
    with pytest.raises(OSError, match=r"40[03]"):
        urlopen(f"{settings['PLATFORM_OPS_S3_URL']}/{where['Bucket']}/{where['Key']}")


def test_scan_pods_may_be_started_in_their_own_namespace_only(lab: Lab) -> None:
    lab.run("up", "objects")
    access = ClusterAccess(lab.context())

    kubectl = lab.context().layout.program("kubectl")
    routes = "httproutes.gateway.networking.k8s.io"

    def may(who: str, verb: str, resource: str, namespace: str) -> str:
        question = ["auth", "can-i", verb, resource, f"--namespace={namespace}"]
        argv = [kubectl, f"--kubeconfig={access.kubeconfig(who)}", *question]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()

    assert may("scan", "create", "pods", "platform-ops-jobs") == "yes"
    assert may("scan", "create", "pods", "llm-service-prod") == "no"
    assert may("scan", "get", "secrets", "platform-ops-jobs") == "no"
    assert may("controller", "patch", routes, "llm-service-prod") == "yes"
    assert may("controller", "patch", "deployments.apps", "kube-system") == "no"
    assert may("oncall", "patch", "services", "llm-service-prod") == "yes"
    assert may("oncall", "patch", routes, "llm-service-prod") == "no"


def test_the_whole_platform_comes_up_answers_and_leaves_no_process(lab: Lab) -> None:
    lab.run("up")
    status = lab.run("status")
    assert not re.search(r"^\S+ +(down|failing) ", status, re.MULTILINE)
    assert re.search(r"^senior1 +user +\S{20,}", status, re.MULTILINE)
    members = lab.processes()

    lab.run("down")
    assert not [pid for pid in members if look_up(pid)]
