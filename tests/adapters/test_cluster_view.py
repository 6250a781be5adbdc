"""A cluster read from memory: the server's answers, a moment later, and never for long an old one."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import yaml

from platform_ops.adapters.cluster_view import ClusterView, DirectReader, Reader
from platform_ops.adapters.kube_api import KubeApi, object_path
from platform_ops.core.errors import Unavailable

CONTEXT = "production"
NAMESPACE = "llm-service-prod"
KIND = ("v1", "ConfigMap")


@pytest.fixture(params=["direct", "view"])
async def reader(request: pytest.FixtureRequest, admin: KubeApi) -> AsyncIterator[Reader]:
    if request.param == "direct":
        yield DirectReader(admin)
        return
    view = ClusterView(admin)
    yield view
    await view.aclose()


@pytest.fixture
async def name(admin: KubeApi) -> AsyncIterator[str]:
    made = f"seen-{secrets.token_hex(4)}"
    yield made
    if await admin.find(CONTEXT, object_path(*KIND, NAMESPACE, made)):
        await admin.request(CONTEXT, "DELETE", object_path(*KIND, NAMESPACE, made))


async def create(admin: KubeApi, name: str, value: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": name}},
        "data": {"value": value},
    }
    await admin.request(CONTEXT, "POST", object_path(*KIND, NAMESPACE), body=body)


async def soon(reader: Reader, name: str, holds: Callable[[object], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds(await reader.find(CONTEXT, *KIND, NAMESPACE, name)):
            await asyncio.sleep(0.02)


async def test_what_is_created_changed_and_deleted_is_seen(admin: KubeApi, reader: Reader, name: str) -> None:
    assert await reader.find(CONTEXT, *KIND, NAMESPACE, name) is None
    assert await reader.list(CONTEXT, *KIND, NAMESPACE, {"app": name}) == []
    await create(admin, name, "first")
    await soon(reader, name, lambda one: one is not None and one["data"]["value"] == "first")
    listed = await reader.list(CONTEXT, *KIND, NAMESPACE, {"app": name})
    assert [one["metadata"]["name"] for one in listed] == [name]
    assert await reader.list(CONTEXT, *KIND, NAMESPACE, {"app": "another"}) == []
    assert await reader.list(CONTEXT, *KIND, "llm-service-dev", {"app": name}) == []
    await admin.patch(CONTEXT, object_path(*KIND, NAMESPACE, name), {"data": {"value": "second"}})
    await soon(reader, name, lambda one: one is not None and one["data"]["value"] == "second")
    await admin.request(CONTEXT, "DELETE", object_path(*KIND, NAMESPACE, name))
    await soon(reader, name, lambda one: one is None)


async def test_a_watch_that_the_server_ends_is_begun_again_and_loses_nothing(
    admin: KubeApi, name: str
) -> None:
    view = ClusterView(admin, turn=1)
    try:
        assert await view.find(CONTEXT, *KIND, NAMESPACE, name) is None
        await asyncio.sleep(1.5)
        await create(admin, name, "late")
        await soon(view, name, lambda one: one is not None)
    finally:
        await view.aclose()


class SilentServer:
    """Lists one object whose version grows with each list, accepts watches, and says nothing in them."""

    def __init__(self) -> None:
        self.lists = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        if "watch=true" in request:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            await writer.drain()
            await reader.read()
        else:
            self.lists += 1
            one = {"metadata": {"namespace": "n", "name": "one", "resourceVersion": str(self.lists)}}
            body = json.dumps({"metadata": {"resourceVersion": str(self.lists)}, "items": [one]}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()


def kubeconfig(path: Path, server: str) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": "c", "user": "u"}}],
        "current-context": CONTEXT,
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


async def test_a_watch_that_falls_silent_is_given_up_and_the_world_is_listed_again(tmp_path: Path) -> None:
    silent = SilentServer()
    async with silent.listening() as url:
        api = KubeApi(kubeconfig(tmp_path / "kubeconfig", url))
        view = ClusterView(api, turn=0.1, grace=0.1)
        try:
            first = await view.find(CONTEXT, *KIND, "n", "one")
            assert first is not None
            async with asyncio.timeout(30):
                while silent.lists < 3:
                    await asyncio.sleep(0.02)
            seen: set[str] = set()
            async with asyncio.timeout(30):
                while len(seen) < 2:
                    with suppress(Unavailable):  # between the silence and the next list
                        one = await view.find(CONTEXT, *KIND, "n", "one")
                        assert one is not None
                        seen.add(one["metadata"]["resourceVersion"])
                    await asyncio.sleep(0.02)
        finally:
            await view.aclose()
            await api.aclose()


async def test_a_server_that_is_away_is_said_at_once_and_not_remembered(tmp_path: Path) -> None:
    api = KubeApi(kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1"))
    view = ClusterView(api)
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            await view.find(CONTEXT, *KIND, NAMESPACE, "any")
    finally:
        await view.aclose()
        await api.aclose()
