"""Where the system tests release to: the tests' own platform, or the cluster that PLATFORM_CLUSTER names."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import yaml
from crash_results import passed_with, source_hash
from own_platform import OwnPlatform
from promoting import DAG, abandon, knows
from releasing import POLICY, SERVICE, Place, until

from local_platform.demo.people import Desk
from local_platform.layout import CHECKOUT
from platform_ops import wiring
from platform_ops.settings import PREFIX, Settings

ENVIRONMENT = "production"
CATALOG = CHECKOUT / "astro" / "local" / "services.yaml"
FROM_CALLER = (
    "GATEWAY_URL",
    "PROMETHEUS_URL",
    "REGISTRY",
    "REGISTRY_PLAIN_HTTP",
    "REGISTRY_USER",
    "REGISTRY_PASSWORD",
)
"""What the machine that runs the tests knows of another cluster, as PLATFORM_OPS_…"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make test-long RESUME=1` leaves out what passed of the crash matrix with this very source."""
    if not os.environ.get("RESUME"):
        return
    passed = passed_with(source_hash())
    kept = [item for item in items if item.name.partition("[")[2].removesuffix("]") not in passed]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@dataclass(frozen=True)
class Ground:
    """The settings of a release desk, and a kubectl that may look at everything."""

    settings: Settings
    kubectl: tuple[str, ...]


@pytest.fixture(scope="session")
def ground(platform_state: OwnPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The platform without Airflow and standby; with PLATFORM_CLUSTER only its ledger and its git beside that
    cluster."""
    cluster = os.environ.get("PLATFORM_CLUSTER")
    if cluster is None:
        from own_platform import WITHOUT_AIRFLOW

        platform_state.up(*WITHOUT_AIRFLOW)
        kubectl = ("kubectl", f"--kubeconfig={platform_state.kubeconfig()}", f"--context={ENVIRONMENT}")
        yield Ground(replace(Settings.of(platform_state.settings), gate_policy=str(POLICY)), kubectl)
        return
    platform_state.up("ledger", "git")
    folder = tmp_path_factory.mktemp("cluster")
    kubectl = ("kubectl", f"--kubeconfig={cluster}")
    namespace = f"platform-ops-test-{secrets.token_hex(3)}"
    _kubectl(*kubectl, "create", "namespace", namespace)
    try:
        context = _kubectl(*kubectl, "config", "current-context").strip()
        given = {f"{PREFIX}{name}": os.environ.get(f"{PREFIX}{name}", "") for name in FROM_CALLER}
        assert given[f"{PREFIX}REGISTRY"], (
            "name a registry that the cluster pulls from: PLATFORM_OPS_REGISTRY"
        )
        chosen = {
            **platform_state.settings,
            **given,
            f"{PREFIX}KUBECONFIG": cluster,
            f"{PREFIX}CATALOG": str(_catalog(folder, context, namespace)),
        }
        of_cluster = replace(Settings.of(chosen), gate_policy=str(POLICY))
        yield Ground(of_cluster, (*kubectl, f"--context={context}"))
    finally:
        _kubectl(*kubectl, "delete", "namespace", namespace, "--wait=true")


@pytest.fixture
async def place(ground: Ground, tmp_path: Path) -> AsyncIterator[Place]:
    """The stand-in in production."""
    async with wiring.connect(ground.settings) as desk:
        target = desk.catalog.target(SERVICE, ENVIRONMENT)

        def kubectl(*arguments: str) -> list[str]:
            return [*ground.kubectl, f"--namespace={target.namespace}", *arguments]

        yield Place(desk, target, ground.settings.gateway_url or target.url, kubectl, tmp_path)


@pytest.fixture
async def airflow(airflow_platform: OwnPlatform) -> AsyncIterator[Desk]:
    """Airflow's REST API with everybody's login."""
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        desk = Desk(airflow_platform.url("airflow"), airflow_platform.passwords, client)
        await until("Airflow knows the DAG", lambda: knows(desk), limit=180)
        yield desk
        for run in await desk.runs(DAG):
            if not run.finished:
                await abandon(desk, run)


def _catalog(folder: Path, context: str, namespace: str) -> Path:
    """The local catalog, its stand-in in one namespace of the other cluster, behind the gateway named by
    PLATFORM_GATEWAY (`namespace/name`)."""
    catalog = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))
    entry = catalog["services"][SERVICE]["environments"][ENVIRONMENT]
    entry["context"], entry["namespace"] = context, namespace
    if gateway := os.environ.get("PLATFORM_GATEWAY"):
        catalog["gateway"] = dict(zip(("namespace", "name"), gateway.split("/"), strict=True))
    path = folder / "services.yaml"
    path.write_text(yaml.safe_dump(catalog), encoding="utf-8")
    return path


def _kubectl(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout
