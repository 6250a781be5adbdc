"""Lists are consistent, watches miss nothing, and what is gone says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_lab import TABLE, Api, api_server

from local_platform.cluster.store import CompactedError, Store

MAPS = "/api/v1/namespaces/team/configmaps"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with api_server(tmp_path / "data") as server:
        await server.namespace("team")
        yield server


async def _create(api: Api, *names: str, **labels: str) -> None:
    for name in names:
        await api.create(MAPS, {"metadata": {"name": name, "labels": labels}})


def _names(items: list[dict]) -> list[str]:
    return [one["metadata"]["name"] for one in items]


async def test_pages_show_one_version_even_when_the_world_moves_on(api: Api) -> None:
    await _create(api, "a", "b", "c")
    first = (await api.get(f"{MAPS}?limit=2")).json
    await api.delete(f"{MAPS}/c")
    second = (await api.get(f"{MAPS}?limit=2&continue={first['metadata']['continue']}")).json
    assert first["metadata"]["remainingItemCount"] == 2
    assert _names(first["items"]) + _names(second["items"]) == ["a", "b", "c", "kube-root-ca.crt"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_an_old_version_can_be_listed_while_history_lasts(api: Api) -> None:
    await _create(api, "a")
    revision = (await api.get(MAPS)).json["metadata"]["resourceVersion"]
    await _create(api, "b")
    exact = await api.get(f"{MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact")
    assert _names(exact.json["items"]) == ["a", "kube-root-ca.crt"]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        pytest.param("continue=garbage", 400, "BadRequest", id="garbage"),
        pytest.param("resourceVersion=abc", 400, "BadRequest", id="no-number"),
        pytest.param("limit=abc", 400, "BadRequest", id="limit"),
        pytest.param("labelSelector=a===b", 400, "BadRequest", id="selector"),
        pytest.param("fieldSelector=spec.foo=bar", 400, "BadRequest", id="field"),
        pytest.param("watch=1&sendInitialEvents=true", 422, "Invalid", id="initial-events-need-a-match"),
    ],
)
async def test_a_list_that_cannot_be_answered_says_why(
    api: Api, query: str, status: int, reason: str
) -> None:
    refused = await api.get(f"{MAPS}?{query}")
    assert (refused.status, refused.json["reason"]) == (status, reason)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param("app=a", ["one"], id="equal"),
        pytest.param("app!=a", ["kube-root-ca.crt", "two"], id="unequal"),
        pytest.param("app in (a,b)", ["one", "two"], id="in"),
        pytest.param("app notin (a)", ["kube-root-ca.crt", "two"], id="notin"),
        pytest.param("app", ["one", "two"], id="exists"),
        pytest.param("!app", ["kube-root-ca.crt"], id="absent"),
        pytest.param("app=b,app", ["two"], id="both"),
    ],
)
async def test_label_selectors(api: Api, selector: str, expected: list[str]) -> None:
    await _create(api, "one", app="a")
    await _create(api, "two", app="b")
    found = await api.get(f"{MAPS}?labelSelector={selector}")
    assert _names(found.json["items"]) == expected


async def test_the_first_version_can_be_listed_while_nothing_is_forgotten(api: Api) -> None:
    await _create(api, "a")
    first = await api.get(f"{MAPS}?resourceVersion=1&resourceVersionMatch=Exact")
    assert (first.status, first.json["items"]) == (200, [])


async def test_a_watch_from_a_version_replays_what_came_after_it(api: Api) -> None:
    revision = (await api.get(MAPS)).json["metadata"]["resourceVersion"]
    await _create(api, "a")
    await api.delete(f"{MAPS}/a")
    seen = (await api.get(f"{MAPS}?watch=1&resourceVersion={revision}&timeoutSeconds=1")).events
    assert [one["type"] for one in seen] == ["ADDED", "DELETED"]
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in seen]
    assert versions == sorted(set(versions))


async def test_an_object_that_leaves_the_selector_is_reported_as_deleted(api: Api) -> None:
    await _create(api, "a", stage="x")
    revision = (await api.get(MAPS)).json["metadata"]["resourceVersion"]
    await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"stage": "y"}}})
    await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"stage": "x"}}})
    query = f"watch=1&labelSelector=stage%3Dx&resourceVersion={revision}&timeoutSeconds=1"
    seen = (await api.get(f"{MAPS}?{query}")).events
    assert [one["type"] for one in seen] == ["DELETED", "ADDED"]
    assert seen[0]["object"]["metadata"]["labels"] == {"stage": "x"}


async def test_a_streaming_list_ends_with_the_bookmark_that_clients_wait_for(api: Api) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    seen = (await api.get(f"{MAPS}?{query}&timeoutSeconds=1")).events
    assert seen[0]["type"] == "ADDED"
    assert seen[1]["type"] == "BOOKMARK"
    assert seen[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


# As recorded in dep-rollout-status-etcd35, del-pod-wait-etcd35, job-success-etcd35 and del-ns-etcd35.
_TEMPLATE = {"metadata": {}, "spec": {"containers": None}}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        pytest.param(
            "/apis/apps/v1/deployments",
            {
                "spec": {"replicas": 0, "selector": None, "template": _TEMPLATE, "strategy": {}},
                "status": {},
            },
            id="deployments",
        ),
        pytest.param("/api/v1/pods", {"spec": {"containers": None}, "status": {}}, id="pods"),
        pytest.param("/apis/batch/v1/jobs", {"spec": {"template": _TEMPLATE}, "status": {}}, id="jobs"),
        pytest.param("/api/v1/namespaces", {"spec": {}, "status": {}}, id="namespaces"),
        pytest.param("/api/v1/configmaps", {}, id="configmaps"),
    ],
)
async def test_a_bookmark_carries_the_empty_object_of_its_kind(api: Api, path: str, content: dict) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    seen = (await api.get(f"{path}?{query}&timeoutSeconds=1")).events
    shown = next(one["object"] for one in seen if one["type"] == "BOOKMARK")
    assert {key: shown[key] for key in shown.keys() - {"kind", "apiVersion", "metadata"}} == content


async def test_only_the_first_event_of_a_table_watch_carries_the_columns(api: Api) -> None:
    await _create(api, "a", "b")
    seen = (await api.get(f"{MAPS}?watch=1&timeoutSeconds=1", headers={"Accept": TABLE})).events
    columns = [one["object"]["columnDefinitions"] is not None for one in seen]
    assert columns == [True, False, False]
    assert seen[0]["object"]["rows"][0]["cells"] == ["a", 0, "0s"]


async def test_a_live_watch_sees_a_write_at_once(api: Api) -> None:
    revision = (await api.get(MAPS)).json["metadata"]["resourceVersion"]
    url = f"{api.url}{MAPS}?watch=1&resourceVersion={revision}"
    headers = {"Authorization": f"Bearer {api.token}"}
    async with api.session.get(url, headers=headers) as answer:
        await _create(api, "a")
        async with asyncio.timeout(10):
            line = await answer.content.readline()
    assert json.loads(line)["object"]["metadata"]["name"] == "a"


async def test_after_a_restart_an_old_version_is_expired(tmp_path: Path) -> None:
    async with api_server(tmp_path / "data") as first:
        await first.namespace("team")
        revision = (await first.get(MAPS)).json["metadata"]["resourceVersion"]
        await _create(first, "a")
        page = (await first.get(f"{MAPS}?limit=1")).json["metadata"]["continue"]
        await _create(first, "b")
    async with api_server(tmp_path / "data") as second:
        watch = await second.get(f"{MAPS}?watch=1&resourceVersion={revision}&timeoutSeconds=1")
        assert watch.status == 200
        assert watch.events[0]["type"] == "ERROR"
        assert watch.events[0]["object"]["code"] == 410
        exact = await second.get(f"{MAPS}?resourceVersion=1&resourceVersionMatch=Exact")
        assert (exact.status, exact.json["reason"]) == (410, "Expired")
        listed = await second.get(f"{MAPS}?limit=1&continue={page}")
        assert (listed.status, listed.json["reason"]) == (410, "Expired")
        fresh = await second.get(f"{MAPS}?limit=9&continue={listed.json['metadata']['continue']}")
        assert _names(fresh.json["items"]) == ["b", "kube-root-ca.crt"]


def test_history_is_bounded_and_says_where_it_begins(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.sqlite3", history=3)
    for number in range(5):
        store.put("things", {"metadata": {"name": f"n{number}"}})
    bucket = store.bucket("things")
    assert [event.current.name for event in bucket.after(store.revision - 2)] == ["n3", "n4"]
    with pytest.raises(CompactedError):
        bucket.after(1)
    with pytest.raises(CompactedError):
        bucket.at(bucket.since - 1)
    assert [name for _, name in bucket.at(bucket.since)] == ["n0", "n1"]
    store.close()


def test_the_past_can_be_reconstructed_from_history(tmp_path: Path) -> None:
    store = Store(tmp_path / "objects.sqlite3")
    store.put("things", {"metadata": {"name": "a"}, "value": 1})
    then = store.revision
    store.put("things", {"metadata": {"name": "a"}, "value": 2})
    store.put("things", {"metadata": {"name": "b"}})
    store.delete("things", "", "a")
    past = store.bucket("things").at(then)
    assert [(one.name, one.document["value"]) for one in past.values()] == [("a", 1)]
    store.close()
