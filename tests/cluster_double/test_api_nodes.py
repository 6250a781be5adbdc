"""Logs, exec and port-forward reach the agent of the pod's node; scale and metrics speak their own kinds.

The agent here is a server of the test that speaks the agent's protocol over real sockets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from api_lab import ADMIN, Api, api_server, deployment, pod

PODS = "/api/v1/namespaces/team/pods"
SUCCESS = b'\x03{"metadata":{},"status":"Success"}'


@dataclass
class Agent:
    """A node's agent that says what it was asked, and echoes streams."""

    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/containerLogs/{namespace}/{pod}/{container}", self._logs),
                web.get("/exec/{namespace}/{pod}/{container}", self._exec),
                web.get("/portForward/{namespace}/{pod}", self._forward),
                web.get("/stats", self._stats),
            ]
        )
        return app

    def _note(self, request: web.Request) -> None:
        self.asked.append((request.path, dict(request.query), request.headers["Authorization"]))

    async def _logs(self, request: web.Request) -> web.Response:
        self._note(request)
        if "previous" in request.query:
            raise web.HTTPBadRequest(text='previous terminated container "main" in pod "app" not found')
        return web.Response(text="line 1\nline 2\n")

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        if request.query["command"] == "gone":
            raise web.HTTPInternalServerError(text='container not found ("main")')
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        await socket.send_bytes(b"\x01")
        async for message in socket:
            if message.data == b"\xff\x00":
                break
            await socket.send_bytes(b"\x01" + message.data[1:])
        await socket.send_bytes(SUCCESS)
        await socket.close()
        return socket

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        socket = web.WebSocketResponse(protocols=("SPDY/3.1+portforward.k8s.io",))
        await socket.prepare(request)
        message = await socket.receive_bytes()
        await socket.send_bytes(message[::-1])
        await socket.close()
        return socket

    async def _stats(self, request: web.Request) -> web.Response:
        self._note(request)
        container = {"name": "main", "cpuNanoCores": 5_000_000, "workingSetBytes": 2048 * 1024}
        pods = [{"namespace": "team", "name": "app", "containers": [container]}]
        node = {"cpuNanoCores": 7_000_000, "workingSetBytes": 4096 * 1024}
        return web.json_response({"node": node, "pods": pods})


@pytest.fixture
async def agent() -> AsyncIterator[tuple[Agent, int]]:
    found = Agent()
    runner = web.AppRunner(found.application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (_, port), *_ = runner.addresses
    yield found, port
    await runner.cleanup()


@pytest.fixture
async def api(tmp_path: Path, agent: tuple[Agent, int]) -> AsyncIterator[Api]:
    async with api_server(tmp_path / "data", node_token="node-token") as server:
        await server.namespace("team")
        node = await server.create("/api/v1/nodes", {"metadata": {"name": "node"}})
        node["status"] = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": agent[1]}},
        }
        await server.call("PUT", "/api/v1/nodes/node/status", node)
        await server.create(PODS, pod("app"))
        binding = {"metadata": {"name": "app"}, "target": {"kind": "Node", "name": "node"}}
        await server.create(f"{PODS}/app/binding", binding)
        await server.create(PODS, pod("homeless"))
        yield server


def _socket(api: Api, path: str, *protocols: str) -> Any:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    return api.session.ws_connect(api.url + path, protocols=protocols, headers=headers)


async def test_a_log_is_fetched_from_the_node_with_its_options(api: Api, agent: tuple[Agent, int]) -> None:
    reply = await api.get(f"{PODS}/app/log?follow=True&tailLines=2&timestamps=false")
    assert reply.text == "line 1\nline 2\n"
    assert reply.headers["Content-Type"] == "text/plain"
    path, query, authorization = agent[0].asked[0]
    assert path == "/containerLogs/team/app/main"
    assert query == {"tailLines": "2", "follow": "true"}
    assert authorization == "Bearer node-token"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        pytest.param(
            "app/log?previous=true",
            400,
            'previous terminated container "main" in pod "app" not found',
            id="the-nodes-refusal",
        ),
        pytest.param("app/log?container=x", 400, "container x is not valid for pod app", id="container"),
        pytest.param("nosuch/log", 404, 'pods "nosuch" not found', id="pod"),
        pytest.param(
            "homeless/exec?command=true&stdout=1",
            400,
            "pod homeless does not have a host assigned",
            id="no-node",
        ),
        pytest.param(
            "app/exec?stdout=1", 400, "you must specify at least 1 command for the container", id="no-command"
        ),
    ],
)
async def test_what_cannot_be_streamed_is_refused_before_the_upgrade(
    api: Api, path: str, status: int, message: str
) -> None:
    refused = await api.get(f"{PODS}/{path}")
    assert (refused.status, refused.json["message"]) == (status, message)


async def test_a_pod_without_a_node_has_no_log_yet(api: Api) -> None:
    assert (await api.get(f"{PODS}/homeless/log")).status == 204


@pytest.mark.parametrize("as_text", [False, True], ids=["binary", "text"])
async def test_exec_relays_both_directions_and_the_end_of_input(api: Api, as_text: bool) -> None:
    path = f"{PODS}/app/exec?command=cat&stdin=true&stdout=true"
    async with _socket(api, path, "v5.channel.k8s.io", "v4.channel.k8s.io") as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        assert await socket.receive_bytes() == b"\x01"
        if as_text:
            await socket.send_str("\x00hello")
        else:
            await socket.send_bytes(b"\x00hello")
        assert await socket.receive_bytes() == b"\x01hello"
        await socket.send_bytes(b"\xff\x00")
        assert await socket.receive_bytes() == SUCCESS
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_the_node_may_refuse_an_exec_with_a_sentence(api: Api) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with _socket(api, f"{PODS}/app/exec?command=gone&stdout=1", "v5.channel.k8s.io"):
            pass
    assert refused.value.status == 500


async def test_a_port_forward_is_a_tunnel(api: Api) -> None:
    async with _socket(api, f"{PODS}/app/portforward", "SPDY/3.1+portforward.k8s.io") as socket:
        await socket.send_bytes(b"\x80\x03\x00")
        assert await socket.receive_bytes() == b"\x00\x03\x80"


async def test_a_pod_is_bound_only_once(api: Api) -> None:
    binding = {"metadata": {"name": "app"}, "target": {"kind": "Node", "name": "other"}}
    refused = await api.call("POST", f"{PODS}/app/binding", binding)
    assert refused.status == 409
    assert refused.json["message"].endswith('pod app is already assigned to node "node"')


async def test_usage_comes_from_the_nodes(api: Api) -> None:
    pods = (await api.get("/apis/metrics.k8s.io/v1beta1/namespaces/team/pods")).json["items"]
    assert pods[0]["containers"] == [{"name": "main", "usage": {"cpu": "5000000n", "memory": "2048Ki"}}]
    node = (await api.get("/apis/metrics.k8s.io/v1beta1/nodes/node")).json
    assert node["usage"] == {"cpu": "7000000n", "memory": "4096Ki"}


async def test_scaling_through_the_subresource_changes_the_workload(api: Api) -> None:
    path = "/apis/apps/v1/namespaces/team/deployments"
    await api.create(path, deployment("web"))
    scaled = (await api.patch(f"{path}/web/scale", {"spec": {"replicas": 3}})).json
    assert (scaled["kind"], scaled["spec"]) == ("Scale", {"replicas": 3})
    assert scaled["status"] == {"replicas": 0, "selector": "app=web"}
    stored = (await api.get(f"{path}/web")).json
    assert stored["spec"]["replicas"] == 3
    entries = stored["metadata"]["managedFields"]
    assert {entry.get("subresource") for entry in entries} == {"scale", None}


async def test_an_eviction_respects_a_budget_that_is_used_up(api: Api) -> None:
    await api.patch(f"{PODS}/homeless", {"metadata": {"labels": {"app": "x"}}})
    budgets = "/apis/policy/v1/namespaces/team/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    budget = await api.create(budgets, {"metadata": {"name": "b"}, "spec": spec})
    budget["status"] = {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
    await api.call("PUT", f"{budgets}/b/status", budget)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "homeless"}}
    assert (await api.call("POST", f"{PODS}/homeless/eviction", eviction)).status == 429
    await api.delete(f"{budgets}/b")
    assert (await api.call("POST", f"{PODS}/homeless/eviction", eviction)).status == 201
    assert (await api.get(f"{PODS}/homeless")).status == 404
