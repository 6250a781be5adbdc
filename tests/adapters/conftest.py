"""Real servers on loopback for the adapters: the local platform's own, in a state folder of the test run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from platform_ops.adapters.kube_api import KubeApi

PARTS = ("cluster", "objects", "registry", "s3", "inbox", "prometheus", "git")


@dataclass(frozen=True)
class Servers:
    """The settings that the local platform gives its users, and its kubeconfigs."""

    settings: dict[str, str]
    state: Path

    def __getitem__(self, name: str) -> str:
        return self.settings[f"PLATFORM_OPS_{name}"]

    def kubeconfig(self, who: str) -> Path:
        return self.state / "kube" / f"{who}.yaml"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    state = tmp_path_factory.mktemp("platform")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLATFORM_OPS_")}
    environment = {**clean, "PLATFORM_STATE": str(state)}

    def local_platform(*words: str) -> str:
        command = [sys.executable, "-m", "local_platform", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    try:
        local_platform("up", *PARTS)
        lines = shlex.split(local_platform("env").replace("export ", ""))
        yield Servers(dict(line.split("=", 1) for line in lines), state)
    finally:
        local_platform("down")


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
async def kube(servers: Servers) -> AsyncIterator[KubeApi]:
    """As the product: its own identity."""
    api = KubeApi(servers.kubeconfig("controller"))
    yield api
    await api.aclose()


@pytest.fixture
async def admin(servers: Servers) -> AsyncIterator[KubeApi]:
    """As the cluster's own controllers."""
    api = KubeApi(servers.kubeconfig("admin"))
    yield api
    await api.aclose()
