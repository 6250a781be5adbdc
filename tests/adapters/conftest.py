"""Real servers on loopback for the adapters: the local platform's own, in a state folder of the test run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx
import pytest

from platform_ops.adapters.kube_api import KubeApi

PARTS = ("registry", "s3", "inbox", "prometheus")
CLUSTER = ("cluster", "objects")


@dataclass(frozen=True)
class Servers:
    """The local platform of a state folder, the settings that it gives its users, and its kubeconfigs."""

    state: Path

    @cached_property
    def settings(self) -> dict[str, str]:
        lines = shlex.split(self.command("env").replace("export ", ""))
        return dict(line.split("=", 1) for line in lines)

    def __getitem__(self, name: str) -> str:
        return self.settings[f"PLATFORM_OPS_{name}"]

    def kubeconfig(self, who: str) -> Path:
        return self.state / "kube" / f"{who}.yaml"

    def command(self, *words: str) -> str:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PLATFORM_OPS_")}
        command = [sys.executable, "-m", "local_platform", *words]
        done = subprocess.run(
            command,
            env={**clean, "PLATFORM_STATE": str(self.state)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    started = Servers(tmp_path_factory.mktemp("platform"))
    try:
        started.command("up", *PARTS)
        yield started
    finally:
        started.command("down")


@pytest.fixture(scope="session")
def cluster(servers: Servers) -> Servers:
    """With an API server, the stock roles and the Gateway API."""
    servers.command("up", *CLUSTER)
    return servers


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
async def kube(cluster: Servers) -> AsyncIterator[KubeApi]:
    """As the product: its own identity."""
    api = KubeApi(cluster.kubeconfig("controller"))
    yield api
    await api.aclose()


@pytest.fixture
async def admin(cluster: Servers) -> AsyncIterator[KubeApi]:
    """As the cluster's own controllers."""
    api = KubeApi(cluster.kubeconfig("admin"))
    yield api
    await api.aclose()
