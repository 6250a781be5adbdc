"""A cluster read from memory: the server's answers, a moment later, and never for long an old one."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest
from colours import DIGEST, MANIFESTS, fresh_target, image
from conftest import Servers
from loopback import kubeconfig, response, serving

from platform_ops.adapters.cluster_view import ClusterView, DirectReader, Reader
from platform_ops.adapters.kube_api import KubeApi, collection_path, object_path
from platform_ops.adapters.kubernetes import KubernetesWorkloads
from platform_ops.core.errors import Refused, Unavailable
from platform_ops.core.release import Colour, Target

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


OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


class ListServer:
    """Lists one object whose version grows with each list. Watches say what `watches` holds, one after the
    other, and then nothing at all."""

    def __init__(self, *watches: bytes, lists: Sequence[bytes] = ()) -> None:
        self.lists = 0
        self._watches = list(watches)
        self._odd_lists = list(lists)

    def listening(self) -> AbstractAsyncContextManager[str]:
        return serving(self._answer)

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        if "watch=true" in head:
            await self._watch(writer)
            return
        self.lists += 1
        if self._odd_lists:
            writer.write(self._odd_lists.pop(0))
        else:
            one = {"metadata": {"namespace": "n", "name": "one", "resourceVersion": str(self.lists)}}
            writer.write(response({"metadata": {"resourceVersion": str(self.lists)}, "items": [one]}))
        await writer.drain()

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        said = self._watches.pop(0) if self._watches else None
        writer.write(said or OPEN)
        await writer.drain()
        if said is None:
            await writer.wait_closed()


async def version_of(view: ClusterView) -> str:
    one = await view.find(CONTEXT, *KIND, "n", "one")
    assert one is not None
    return str(one["metadata"]["resourceVersion"])


@asynccontextmanager
async def viewing(tmp_path: Path, server: ListServer, turn: float = 60) -> AsyncIterator[ClusterView]:
    async with server.listening() as url:
        api = KubeApi(kubeconfig(tmp_path / "kubeconfig", url, CONTEXT))
        view = ClusterView(api, turn=turn, grace=0.1)
        try:
            yield view
        finally:
            await view.aclose()
            await api.aclose()


def event(kind: str, one: object) -> bytes:
    return OPEN + json.dumps({"type": kind, "object": one}).encode() + b"\n"


TOO_OLD = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (9)"}
NEWER = {"metadata": {"namespace": "n", "name": "one", "resourceVersion": "1"}}


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(event("MODIFIED", NEWER)[:-30], id="torn-in-mid-line"),
        pytest.param(event("MODIFIED", NEWER) + b'{"type": "MODIF', id="torn-in-the-second-line"),
        pytest.param(response(TOO_OLD, 410), id="410-at-once"),
        pytest.param(event("ERROR", TOO_OLD), id="410-in-the-watch"),
        pytest.param(event("ERROR", {"code": 500, "message": "etcd is away"}), id="error-in-the-watch"),
        pytest.param(event("MODIFIED", None), id="an-event-of-nothing"),
        pytest.param(OPEN + b"[]\n", id="no-event-at-all"),
        pytest.param(response("", 502), id="502"),
    ],
)
async def test_a_watch_that_is_torn_or_too_old_is_listed_anew(tmp_path: Path, said: bytes) -> None:
    """Whoever asks meanwhile is told so, or gets the newer one, and is never left with the old world."""
    server = ListServer(said)
    async with viewing(tmp_path, server) as view, asyncio.timeout(30):
        assert await version_of(view) == "1"
        seen = "1"
        while seen == "1":
            with suppress(Unavailable):
                seen = await version_of(view)
            await asyncio.sleep(0.02)
    assert seen == "2"
    assert server.lists == 2


@pytest.mark.parametrize("odd", [response({}), response("<html>login</html>"), response({"metadata": None})])
async def test_a_list_that_is_none_is_said_and_asked_for_again(tmp_path: Path, odd: bytes) -> None:
    async with viewing(tmp_path, ListServer(lists=[odd])) as view, asyncio.timeout(30):
        with pytest.raises(Unavailable, match="something else than a list"):
            await version_of(view)
        while True:
            with suppress(Unavailable):
                assert await version_of(view) == "2"
                break
            await asyncio.sleep(0.02)


async def test_a_watch_that_falls_silent_is_given_up_and_the_world_is_listed_again(tmp_path: Path) -> None:
    silent = ListServer()
    async with viewing(tmp_path, silent, turn=0.1) as view, asyncio.timeout(30):
        seen = {await version_of(view)}
        while silent.lists < 3 or len(seen) < 2:
            with suppress(Unavailable):  # between the silence and the next list
                seen.add(await version_of(view))
            await asyncio.sleep(0.02)


async def test_a_server_that_is_away_is_said_at_once_and_not_remembered(tmp_path: Path) -> None:
    api = KubeApi(kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", CONTEXT))
    view = ClusterView(api)
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            await view.find(CONTEXT, *KIND, NAMESPACE, "any")
    finally:
        await view.aclose()
        await api.aclose()


@pytest.fixture
async def here_only(admin: KubeApi, cluster: Servers) -> AsyncIterator[tuple[KubeApi, Target]]:
    """Somebody who may act in one namespace, and neither list nor watch in all of them."""
    target = await fresh_target(admin)
    await bind(admin, target, {"kind": "RoleBinding"})
    api = KubeApi(cluster.kubeconfig("scan"))
    yield api, target
    await api.aclose()


async def bind(admin: KubeApi, target: Target, what: dict[str, str]) -> None:
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        **what,
        "metadata": {"name": f"of-{target.namespace}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "platform-ops-release"},
        "subjects": [{"kind": "ServiceAccount", "name": "scan", "namespace": "platform-ops"}],
    }
    path = object_path(f"{group}/v1", "RoleBinding", target.namespace)
    if what["kind"] == "ClusterRoleBinding":
        path = collection_path(f"{group}/v1", "ClusterRoleBinding")
    await admin.request(CONTEXT, "POST", path, body=binding)


async def test_without_the_right_to_all_namespaces_it_is_read_directly_and_said_once(
    admin: KubeApi, here_only: tuple[KubeApi, Target], caplog: pytest.LogCaptureFixture
) -> None:
    api, target = here_only
    view = ClusterView(api, again=0.0)
    try:
        workloads = KubernetesWorkloads(api, MANIFESTS.service, reader=view)
        assert not (await workloads.status(target, Colour.GREEN)).exists
        applied = KubernetesWorkloads(admin, MANIFESTS.service)
        await applied.apply(target, MANIFESTS.colour(target, Colour.GREEN, image(DIGEST)))
        for _ in range(3):
            assert (await workloads.status(target, Colour.GREEN)).digest == DIGEST
        said = [one.getMessage() for one in caplog.records if "in all namespaces" in one.getMessage()]
        assert len(said) == len(set(said)) == 4, "one for each kind that a status needs"
        assert any('cannot list resource "deployments"' in one for one in said)
        await bind(admin, target, {"kind": "ClusterRoleBinding"})
        assert (await workloads.status(target, Colour.GREEN)).digest == DIGEST
        kept = view._kept[CONTEXT, "apps/v1", "Deployment"]
        assert kept.error is None, "a right that comes is used"
    finally:
        await view.aclose()
        path = collection_path("rbac.authorization.k8s.io/v1", "ClusterRoleBinding")
        if await admin.find(CONTEXT, f"{path}/of-{target.namespace}"):
            await admin.request(CONTEXT, "DELETE", f"{path}/of-{target.namespace}")


async def test_what_may_not_be_read_at_all_is_refused_with_the_right_that_is_missing(
    here_only: tuple[KubeApi, Target],
) -> None:
    api, _ = here_only
    view = ClusterView(api)
    try:
        with pytest.raises(Refused, match="cannot get resource"):
            await view.find(CONTEXT, "apps/v1", "Deployment", "kube-system", "any")
    finally:
        await view.aclose()
