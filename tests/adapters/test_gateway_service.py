"""The gateway as a process, against the API server of the cluster double and with the real Envoy."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from local_platform.gateway.envoy import ProcessIdentity
from local_platform.gateway.status import CONTROLLER_NAME

Json = dict[str, Any]

HOST = "app.example.com"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/prod/httproutes"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices"
TOKEN = "gateway-test"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


async def eventually(look: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until an awaited look at the outside is true."""
    async with asyncio.timeout(seconds):
        while not await look():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def module(name: str, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(sys.executable, "-m", name, *options)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.send_signal(signal.SIGTERM)
        await running.wait()


class Platform:
    """An API server with one blue-green service in it, and where the gateway in front of it is."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path, api: str) -> None:
        self.session = session
        self.folder = folder
        self.api = api
        self.port, self.admin_port = free_port(), free_port()
        self.backends: dict[str, int] = {}
        self.api_process: asyncio.subprocess.Process

    def api_server(self) -> Any:
        return module(
            "local_platform.cluster",
            f"--data={self.folder / 'cluster'}",
            f"--port={self.api.rpartition(':')[2]}",
            f"--tokens={self.folder / 'tokens'}",
        )

    def gateway(self) -> Any:
        return module(
            "local_platform.gateway",
            f"--kubeconfig={self.folder / 'kubeconfig'}",
            f"--data={self.folder / 'gateway'}",
            f"--port={self.port}",
            f"--admin-port={self.admin_port}",
        )

    async def kube(self, method: str, path: str, body: Json | None = None, **headers: str) -> Json:
        headers["Authorization"] = f"Bearer {TOKEN}"
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers["Content-Type"] = f"application/{kind}"
        async with self.session.request(
            method, self.api + path, data=json.dumps(body) if body else None, headers=headers
        ) as response:
            assert response.status < 300, await response.text()
            return dict(await response.json())

    async def get(self, **headers: str) -> tuple[int, str]:
        """Status and colour of an answer through the gateway, (0, '') when nobody answers."""
        try:
            async with self.session.get(
                f"http://127.0.0.1:{self.port}/", headers={"Host": HOST, **headers}
            ) as response:
                return response.status, response.headers.get("x-platform-colour", "")
        except aiohttp.ClientError:
            return 0, ""

    async def answers(self, status: int, colour: str) -> None:
        async def look() -> bool:
            return await self.get() == (status, colour)

        await eventually(look)

    async def conditions(self) -> dict[str, Json]:
        status = (await self.kube("GET", f"{ROUTE}/app")).get("status", {})
        mine = [p for p in status.get("parents", []) if p["controllerName"] == CONTROLLER_NAME]
        return {entry["type"]: entry for parent in mine for entry in parent["conditions"]}

    def envoy(self) -> ProcessIdentity:
        return ProcessIdentity(**json.loads((self.folder / "gateway" / "envoy.pid").read_text()))

    async def fill(self) -> None:
        await self.kube(
            "POST",
            "/api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}},
        )
        for colour, port in self.backends.items():
            service = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": f"app-{colour}"},
                "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
            }
            await self.kube("POST", "/api/v1/namespaces/prod/services", service)
            endpoint_slice = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"app-{colour}-1",
                    "labels": {"kubernetes.io/service-name": f"app-{colour}"},
                },
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
                "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
            }
            await self.kube("POST", SLICES, endpoint_slice)
        await self.kube("POST", ROUTE, route(blue=100, green=0))

    async def shift(self, blue: int, green: int) -> Json:
        return await self.kube("PATCH", f"{ROUTE}/app", {"spec": route(blue, green)["spec"]})


def route(blue: int, green: int) -> Json:
    def ref(colour: str, weight: int) -> Json:
        header = {"name": "x-platform-colour", "value": colour}
        modifier = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [header]}}
        return {"name": f"app-{colour}", "port": 80, "weight": weight, "filters": [modifier]}

    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "app"},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "gateway-system"}],
            "hostnames": [HOST],
            "rules": [{"backendRefs": [ref("blue", blue), ref("green", green)]}],
        },
    }


@asynccontextmanager
async def backend() -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    port = free_port()
    (tmp_path / "tokens").write_text(f'{TOKEN},gateway,gateway,"system:masters"\n')
    user = {"name": "gateway", "user": {"token": TOKEN}}
    cluster = {"name": "double", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "double", "context": {"cluster": "double", "user": "gateway"}}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [user],
        "contexts": [context],
        "current-context": "double",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    async with aiohttp.ClientSession() as session, backend() as blue, backend() as green:
        platform = Platform(session, tmp_path, f"http://127.0.0.1:{port}")
        platform.backends = {"blue": blue, "green": green}
        async with platform.api_server() as platform.api_process:
            await eventually(lambda: ready(session, platform.api))
            await platform.fill()
            yield platform


async def ready(session: aiohttp.ClientSession, api: str) -> bool:
    try:
        async with session.get(f"{api}/readyz", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def test_a_route_is_served_and_told_so(platform: Platform) -> None:
    async with platform.gateway():
        await platform.answers(200, "blue")
        changed = await platform.shift(blue=0, green=100)
        await platform.answers(200, "green")

        async def told() -> bool:
            found = await platform.conditions()
            return all(
                entry["observedGeneration"] == changed["metadata"]["generation"] for entry in found.values()
            )

        await eventually(told)
        found = await platform.conditions()
        assert {name: entry["status"] for name, entry in found.items()} == {
            "Accepted": "True",
            "ResolvedRefs": "True",
            "Programmed": "True",
        }


async def test_an_endpoint_that_turns_unready_gets_no_further_request(platform: Platform) -> None:
    async with platform.gateway():
        await platform.answers(200, "blue")
        unready = {"addresses": ["127.0.0.1"], "conditions": {"ready": False}}
        await platform.kube("PATCH", f"{SLICES}/app-blue-1", {"endpoints": [unready]})
        await platform.answers(503, "blue")


async def test_a_missing_service_is_said_in_the_status(platform: Platform) -> None:
    async with platform.gateway():
        await platform.answers(200, "blue")
        await platform.kube("DELETE", "/api/v1/namespaces/prod/services/app-green")

        async def told() -> bool:
            # The gateway routes before it has written its first status.
            resolved = (await platform.conditions()).get("ResolvedRefs", {})
            return resolved.get("reason") == "BackendNotFound"

        await eventually(told)
        assert (await platform.conditions())["ResolvedRefs"][
            "message"
        ] == "Service prod/app-green does not exist"
        assert await platform.get() == (200, "blue")


async def test_traffic_outlives_a_killed_gateway_and_the_next_one_adopts_envoy(platform: Platform) -> None:
    async with platform.gateway() as first:
        await platform.answers(200, "blue")
        envoy = platform.envoy()
        first.kill()
        await first.wait()
    assert await platform.get() == (200, "blue")
    await platform.shift(blue=0, green=100)
    async with platform.gateway():
        await platform.answers(200, "green")
        assert platform.envoy() == envoy
    assert not envoy.alive()
    assert await platform.get() == (0, "")


async def test_a_killed_envoy_is_started_again_with_its_configuration(platform: Platform) -> None:
    async with platform.gateway():
        await platform.answers(200, "blue")
        envoy = platform.envoy()
        os.kill(envoy.pid, signal.SIGKILL)

        async def back() -> bool:
            return platform.envoy() != envoy and await platform.get() == (200, "blue")

        await eventually(back)


async def test_traffic_outlives_the_api_server_and_its_return_is_noticed(platform: Platform) -> None:
    async with platform.gateway():
        await platform.answers(200, "blue")
        platform.api_process.kill()
        await platform.api_process.wait()
        assert await platform.get() == (200, "blue")
        async with platform.api_server():
            await eventually(lambda: ready(platform.session, platform.api))
            await platform.shift(blue=0, green=100)
            await platform.answers(200, "green")


async def test_files_that_cannot_be_written_stop_neither_traffic_nor_the_gateway(platform: Platform) -> None:
    async with platform.gateway() as running:
        await platform.answers(200, "blue")
        # A folder where the new file would be written first: as good as a full disk.
        in_the_way = platform.folder / "gateway" / ".xds-routes.json.new"
        in_the_way.mkdir()
        changed = await platform.shift(blue=0, green=100)
        assert await platform.get() == (200, "blue")
        assert running.returncode is None
        observed = (await platform.conditions())["Programmed"]["observedGeneration"]
        assert observed < changed["metadata"]["generation"]
        in_the_way.rmdir()
        await platform.answers(200, "green")
