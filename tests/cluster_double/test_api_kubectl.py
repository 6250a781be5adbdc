"""The real kubectl works against the API server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from api_lab import ADMIN, Api, Certificate, api_server, deployment, kubectl


class Kubectl:
    """kubectl with a home of its own."""

    def __init__(self, api: Api, folder: Path, program: Path, tls: Certificate) -> None:
        self._folder = folder
        self._program = program
        self._server = [
            f"--server={api.url}",
            f"--certificate-authority={tls.certificate}",
            f"--token={ADMIN}",
        ]

    async def __call__(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        process = await asyncio.create_subprocess_exec(
            str(self._program),
            *self._server,
            "--namespace=team",
            *arguments,
            env={"HOME": str(self._folder), "PATH": os.environ["PATH"], "KUBECONFIG": "/dev/null"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate(stdin.encode())
        assert (process.returncode != 0) is fails, output.decode()
        return output.decode()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kubectl(tmp_path_factory.mktemp("kubectl"))


@pytest.fixture
async def run(tmp_path: Path, program: Path) -> AsyncIterator[Kubectl]:
    tls = Certificate.issue(tmp_path)
    async with api_server(tmp_path / "data", tls=tls) as api:
        await api.namespace("team")
        yield Kubectl(api, tmp_path, program, tls)


def _manifest(replicas: int) -> str:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("web", replicas)}
    return yaml.safe_dump(body)


async def test_apply_creates_configures_and_leaves_unchanged(run: Kubectl) -> None:
    said = [await run("apply", "-f", "-", stdin=_manifest(replicas)) for replicas in (1, 2, 2)]
    assert said == [f"deployment.apps/web {word}\n" for word in ("created", "configured", "unchanged")]


async def test_get_prints_the_columns_of_the_server(run: Kubectl) -> None:
    await run("create", "deployment", "web", "--image=app:1", "--replicas=0")
    heading, row = (await run("get", "deployments", "-o", "wide")).splitlines()
    assert heading.split() == [
        "NAME",
        "READY",
        "UP-TO-DATE",
        "AVAILABLE",
        "AGE",
        "CONTAINERS",
        "IMAGES",
        "SELECTOR",
    ]
    assert row.split()[:4] == ["web", "0/0", "0", "0"]
    assert row.split()[5:] == ["app", "app:1", "app=web"]


async def test_imperative_creates_arrive_in_protobuf(run: Kubectl) -> None:
    await run("create", "configmap", "settings", "--from-literal=a=1")
    await run("create", "secret", "generic", "word", "--from-literal=user=demo")
    await run("create", "service", "clusterip", "web", "--tcp=80:8000")
    await run("create", "job", "once", "--image=app:1", "--", "true")
    await run("create", "role", "reader", "--verb=get", "--resource=pods")
    assert await run("get", "configmap", "settings", "-o", "jsonpath={.data.a}") == "1"
    assert await run("get", "secret", "word", "-o", "jsonpath={.data.user}") == "ZGVtbw=="
    assert await run("get", "service", "web", "-o", "jsonpath={.spec.ports[0].targetPort}") == "8000"
    assert "true" in await run(
        "get", "job", "once", "-o", "jsonpath={.spec.template.spec.containers[0].command}"
    )


async def test_the_emergency_procedure_switches_a_service(run: Kubectl) -> None:
    await run("create", "service", "clusterip", "web", "--tcp=80:8000")
    patch = '{"spec":{"selector":{"app":"web","version":"blue"}}}'
    assert await run("patch", "service", "web", "-p", patch) == "service/web patched\n"
    assert await run("get", "service", "web", "-o", "jsonpath={.spec.selector.version}") == "blue"


async def test_server_side_apply_explains_a_conflict(run: Kubectl) -> None:
    body = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: '%s'}}"
    await run("apply", "--server-side", "-f", "-", stdin=body % 1)
    refused = await run(
        "apply", "--server-side", "--field-manager=two", "-f", "-", stdin=body % 2, fails=True
    )
    assert 'conflict with "kubectl": .data.a' in refused


async def test_a_typing_mistake_in_a_manifest_is_found(run: Kubectl) -> None:
    manifest = _manifest(1).replace("replicas:", "replicaz:")
    refused = await run("create", "-f", "-", stdin=manifest, fails=True)
    assert 'strict decoding error: unknown field "spec.replicaz"' in refused


async def test_wait_uses_the_streaming_list(run: Kubectl) -> None:
    await run("create", "configmap", "c", "--from-literal=a=1")
    assert "condition met" in await run("wait", "--for=jsonpath={.data.a}=1", "configmap/c", "--timeout=20s")
    assert "deleted" in await run("delete", "configmap", "c", "--timeout=20s")


async def test_explain_reads_the_published_types(run: Kubectl) -> None:
    shown = await run("explain", "deployment.spec.strategy")
    assert "FIELD: strategy <DeploymentStrategy>" in shown
    assert "RollingUpdate" in shown
    assert "backendRefs" in await run("explain", "httproute.spec.rules")


async def test_questions_about_oneself_are_answered(run: Kubectl) -> None:
    assert await run("auth", "can-i", "delete", "pods") == "yes\n"
    denied = await run("auth", "can-i", "delete", "pods", "--as=nobody", fails=True)
    assert denied == "no\n"
    assert "system:masters" in await run("auth", "whoami")
    assert "Server Version: v1.36" in await run("version")
