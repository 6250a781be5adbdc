"""The real Envoy in front of real HTTP servers: what clients see while weights and endpoints change."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from local_platform.demo.load import Load, Mix, Record, Summary, summarise
from local_platform.gateway.admin import EnvoyAdmin
from local_platform.gateway.bootstrap import bootstrap
from local_platform.gateway.dataplane import LINGER_S, DataPlane
from local_platform.gateway.envoy import EnvoyDidNotStart, EnvoyProcess
from local_platform.gateway.service import Programmer
from local_platform.gateway.translate import Condition, World

Json = dict[str, Any]

HOST = "app.example.com"

REQUESTS = 'envoy_cluster_upstream_rq{envoy_response_code="%s",envoy_cluster_name="prod/app-%s/80"}'

# uvicorn, as in the services' images: on SIGTERM it finishes what it has, uploads among it.
SERVER = """
import asyncio, socket, sys
import uvicorn

async def app(scope, receive, send):
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    if scope["method"] == "POST":
        await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)
uvicorn.Server(config).run(sockets=[listening])
"""


@asynccontextmanager
async def server() -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process, int(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Cluster:
    """The Kubernetes objects of one blue-green service, and an Envoy that is told about them."""

    def __init__(self, url: str, programmer: Programmer, admin: EnvoyAdmin, envoy: EnvoyProcess) -> None:
        self.url = url
        self.admin = admin
        self.envoy = envoy
        self._programmer = programmer
        self.weights = {"blue": 100, "green": 0}
        self.endpoints: dict[str, list[int]] = {"blue": [], "green": []}
        self.extra_routes: list[Json] = []
        self.timeouts: Json = {}
        self.now = 0.0

    async def apply(self) -> dict[tuple[str, str], tuple[Condition, ...]]:
        routes = [self._route(), *self.extra_routes]
        return await self._programmer.program(
            World(
                {("prod", obj["metadata"]["name"]): obj for obj in routes},
                {("prod", f"app-{colour}"): self._service(colour) for colour in self.weights},
                {
                    ("prod", f"app-{colour}-{port}"): self._slice(colour, port)
                    for colour, ports in self.endpoints.items()
                    for port in ports
                },
            ),
            self.now,
        )

    async def shift(self, green: int) -> None:
        self.weights = {"blue": 100 - green, "green": green}
        await self.apply()

    def _route(self) -> Json:
        prefix = {"type": "PathPrefix", "value": "/"}
        preview = [
            {
                "matches": [{"path": prefix, "headers": [{"name": "x-platform-colour", "value": colour}]}],
                "backendRefs": [self._ref(colour, 1)],
            }
            for colour in ("blue", "green")
        ]
        refs = [self._ref(colour, weight) for colour, weight in self.weights.items()]
        split = {"backendRefs": refs, "timeouts": self.timeouts}
        return {
            "metadata": {"namespace": "prod", "name": "app", "generation": 1},
            "spec": {"hostnames": [HOST], "rules": [*preview, split]},
        }

    def _ref(self, colour: str, weight: int) -> Json:
        header = {"name": "x-platform-colour", "value": colour}
        modifier = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [header]}}
        return {"name": f"app-{colour}", "port": 80, "weight": weight, "filters": [modifier]}

    def _service(self, colour: str) -> Json:
        metadata = {"namespace": "prod", "name": f"app-{colour}"}
        return {"metadata": metadata, "spec": {"ports": [{"name": "http", "port": 80}]}}

    def _slice(self, colour: str, port: int) -> Json:
        return {
            "metadata": {
                "namespace": "prod",
                "name": f"app-{colour}-{port}",
                "labels": {"kubernetes.io/service-name": f"app-{colour}"},
            },
            "ports": [{"name": "http", "port": port}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        }


@asynccontextmanager
async def gateway(data: Path) -> AsyncIterator[Cluster]:
    port, admin_port = free_port(), free_port()
    async with aiohttp.ClientSession() as session:
        admin = EnvoyAdmin(session, admin_port)
        static = bootstrap(host="127.0.0.1", port=port, admin_port=admin_port, xds=data / "xds")
        envoy = EnvoyProcess(data, admin, static)
        data_plane = DataPlane(admin, data / "xds", envoy.log)
        data_plane.prepare()
        await envoy.ensure_running()
        try:
            yield Cluster(f"http://127.0.0.1:{port}", Programmer(data_plane), admin, envoy)
        finally:
            await envoy.stop()


class Lines(io.StringIO):
    """The load's output file, which says when there is something new in it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


class Run:
    """A load in the background whose records can be read while it runs."""

    def __init__(self, cluster: Cluster, **mix: Any) -> None:
        self._out = Lines()
        self._written = self._out.written
        self._load = Load(cluster.url, HOST, self._out, Mix(slow_s=0.5, **mix))
        self._task = asyncio.create_task(self._load.run(rate=60))

    def records(self) -> list[Record]:
        return [Record(**json.loads(line)) for line in self._out.getvalue().splitlines()]

    async def until(self, condition: Callable[[list[Record]], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition(self.records()):
                await self._written.wait()
                self._written.clear()

    async def until_answers(self, count: int) -> None:
        """Wait for so many further answers, quick and slow ones among them."""
        seen = len(self.records())
        await self.until(lambda records: len(records) >= seen + count)

    async def end(self) -> Summary:
        self._load.stopping.set()
        await self._task
        return summarise(self.records())


async def get(url: str, host: str = HOST, **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url + "/health", headers={"Host": host, **headers}) as response,
    ):
        await response.read()
        return response.status, response.headers.get("x-platform-colour", "")


async def test_moving_weights_and_removing_an_endpoint_first_loses_no_request(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        blue = [await stack.enter_async_context(server()) for _ in range(2)]
        _, green_port = await stack.enter_async_context(server())
        cluster = await stack.enter_async_context(gateway(tmp_path))
        cluster.endpoints = {"blue": [port for _, port in blue], "green": [green_port]}
        await cluster.apply()
        run = Run(cluster, slow=0.2, new_connections=0.1)
        await run.until_answers(40)
        for weight in (5, 25, 50):
            await cluster.shift(weight)
            await run.until_answers(40)
        cluster.endpoints["blue"].pop()
        await cluster.apply()
        blue[1][0].send_signal(signal.SIGTERM)
        await blue[1][0].wait()
        await run.until_answers(40)
        await cluster.shift(100)
        moved = len(run.records())
        await run.until_answers(80)
        summary = await run.end()
    assert summary.failed == 0, summary.errors
    assert summary.requests > 240
    assert summary.colours["blue"] > summary.colours["green"] / 10
    # Whatever was asked after the last move was answered by green.
    late = [record for record in run.records()[moved:] if record.at > run.records()[moved].at + 1]
    assert {record.colour for record in late} == {"green"}


async def test_killing_a_pod_before_its_endpoint_is_removed_loses_requests(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        blue = [await stack.enter_async_context(server()) for _ in range(2)]
        cluster = await stack.enter_async_context(gateway(tmp_path))
        cluster.endpoints = {"blue": [port for _, port in blue], "green": []}
        await cluster.apply()
        run = Run(cluster, slow=0.2, new_connections=0.1)
        await run.until(lambda records: any(record.kind == "slow" for record in records))
        blue[1][0].kill()
        await blue[1][0].wait()
        cluster.endpoints["blue"].pop()
        await cluster.apply()
        await run.until_answers(40)
        summary = await run.end()
    assert summary.failed > 0


async def test_after_a_crash_new_requests_go_to_the_living_pod_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        blue = [await stack.enter_async_context(server()) for _ in range(2)]
        cluster = await stack.enter_async_context(gateway(tmp_path))
        cluster.endpoints = {"blue": [port for _, port in blue], "green": []}
        await cluster.apply()
        assert {await get(cluster.url) for _ in range(10)} == {(200, "blue")}
        blue[0][0].kill()
        await blue[0][0].wait()
        answers = Counter([await get(cluster.url) for _ in range(50)])
        metrics = await prometheus(cluster)
    assert answers == {(200, "blue"): 50}
    # Attempts that were made again are not counted as answers: an error rate is what clients saw.
    assert metrics[REQUESTS % ("200", "blue")] == 60
    assert REQUESTS % ("503", "blue") not in metrics


async def test_a_colour_without_ready_endpoints_answers_503_and_is_counted(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        _, port = await stack.enter_async_context(server())
        cluster = await stack.enter_async_context(gateway(tmp_path))
        cluster.endpoints["blue"] = [port]
        await cluster.apply()
        assert await get(cluster.url, **{"x-platform-colour": "green"}) == (503, "green")
        assert await get(cluster.url) == (200, "blue")
        metrics = await prometheus(cluster)
    assert metrics[REQUESTS % ("503", "green")] == 1
    assert metrics[REQUESTS % ("200", "blue")] == 1
    assert (
        'envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="prod/app-blue/80",le="10000"}' in metrics
    )


async def test_a_request_over_the_time_of_its_rule_is_answered_and_counted_as_504(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        _, port = await stack.enter_async_context(server())
        cluster = await stack.enter_async_context(gateway(tmp_path))
        cluster.endpoints["blue"] = [port]
        cluster.timeouts = {"request": "100ms"}
        await cluster.apply()
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{cluster.url}/analyze", headers={"Host": HOST}) as response,
        ):
            assert response.status == 504
        metrics = await prometheus(cluster)
    assert metrics[REQUESTS % ("504", "blue")] == 1


async def prometheus(cluster: Cluster) -> dict[str, float]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{cluster.admin.base}/stats/prometheus") as response,
    ):
        lines = (await response.text()).splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def test_a_route_that_envoy_refuses_keeps_its_last_form_and_the_others_go_on(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        _, port = await stack.enter_async_context(server())
        _, green_port = await stack.enter_async_context(server())
        cluster = await stack.enter_async_context(gateway(tmp_path))
        cluster.endpoints = {"blue": [port], "green": [green_port]}
        other = cluster._route()
        other["metadata"]["name"] = "other"
        other["spec"]["hostnames"] = ["other.example.com"]
        cluster.extra_routes = [other]
        await cluster.apply()
        # The schema allows this name, Envoy does not: the host may not be rewritten this way.
        host = {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {"set": [{"name": "Host", "value": "x"}]},
        }
        rules = [{**rule, "filters": [host]} for rule in other["spec"]["rules"]]
        cluster.extra_routes = [{**other, "spec": {**other["spec"], "rules": rules}}]
        cluster.weights = {"blue": 0, "green": 100}
        for _ in range(2):
            verdicts = await cluster.apply()
            accepted, programmed = verdicts[("prod", "other")]
            assert (accepted.type, accepted.status) == ("Accepted", False)
            assert "host headers may not be modified" in accepted.message
            assert (programmed.type, programmed.status) == ("Programmed", False)
            assert "its last accepted form stays" in programmed.message
            assert all(condition.status for condition in verdicts[("prod", "app")])
        assert await get(cluster.url) == (200, "green")
        assert await get(cluster.url, "other.example.com") == (200, "blue")


async def test_a_cluster_that_no_route_names_goes_after_its_linger_time(tmp_path: Path) -> None:
    async with gateway(tmp_path) as cluster:
        other = cluster._route()
        other["metadata"]["name"] = "other"
        other["spec"] = {"hostnames": ["x.example.com"], "rules": [{"backendRefs": []}]}
        await cluster.apply()
        cluster._route = lambda: other  # type: ignore[method-assign]
        counted = []
        for cluster.now in (1.0, LINGER_S, LINGER_S + 1.0):
            await cluster.apply()
            counted.append((await cluster.admin.stats("cluster_manager.active_clusters")).popitem()[1])
    assert counted == ["2", "2", "0"]


async def test_a_taken_port_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        static = bootstrap(
            host="127.0.0.1", port=taken.getsockname()[1], admin_port=free_port(), xds=tmp_path / "xds"
        )
        async with aiohttp.ClientSession() as session:
            admin = EnvoyAdmin(session, 1)
            envoy = EnvoyProcess(tmp_path, admin, static)
            DataPlane(admin, tmp_path / "xds", envoy.log).prepare()
            with pytest.raises(EnvoyDidNotStart, match="Address already in use"):
                await envoy.ensure_running()
