"""Create, read, update, patch and delete behave as on a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_lab import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api, api_server, deployment, pod

DEPLOYMENTS = "/apis/apps/v1/namespaces/team/deployments"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with api_server(tmp_path / "data") as server:
        await server.namespace("team")
        yield server


async def test_a_created_object_gets_identity_and_defaults(api: Api) -> None:
    created = await api.create(DEPLOYMENTS, deployment("web"))
    metadata, spec = created["metadata"], created["spec"]
    assert metadata["generation"] == 1
    assert metadata["creationTimestamp"] == "2026-11-22T12:00:00Z"
    assert metadata["managedFields"][0]["manager"] == "test"
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": "25%"}


async def test_generation_counts_changes_of_the_spec_only(api: Api) -> None:
    await api.create(DEPLOYMENTS, deployment("web"))
    labelled = await api.patch(f"{DEPLOYMENTS}/web", {"metadata": {"labels": {"a": "b"}}})
    scaled = await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 3}})
    assert (labelled.json["metadata"]["generation"], scaled.json["metadata"]["generation"]) == (1, 2)


async def test_a_note_on_a_deployment_counts_as_a_new_generation_unless_its_controller_leaves_it(
    api: Api,
) -> None:
    created = await api.create(DEPLOYMENTS, deployment("web"))
    created["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
    by_controller = (await api.call("PUT", f"{DEPLOYMENTS}/web/status", created)).json["metadata"]
    by_person = (await api.patch(f"{DEPLOYMENTS}/web", {"metadata": {"annotations": {"why": "fix"}}})).json
    assert by_controller["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    assert (by_controller["generation"], by_person["metadata"]["generation"]) == (1, 2)


async def test_a_refusal_carries_the_warnings_found_before_it(api: Api) -> None:
    refused = await api.delete("/apis/batch/v1/namespaces/team/jobs/none")
    assert refused.status == 404
    assert "child pods are preserved by default" in refused.headers["Warning"]


async def test_the_status_path_writes_status_and_the_main_path_does_not(api: Api) -> None:
    created = await api.create(DEPLOYMENTS, deployment("web"))
    created["status"] = {"readyReplicas": 1, "replicas": 1}
    created["spec"]["replicas"] = 9
    written = (await api.call("PUT", f"{DEPLOYMENTS}/web/status", created)).json
    assert written["status"]["readyReplicas"] == 1
    assert written["spec"]["replicas"] == 1
    written["status"] = {}
    kept = (await api.call("PUT", f"{DEPLOYMENTS}/web", written)).json
    assert kept["status"]["readyReplicas"] == 1


async def test_an_update_from_an_old_version_is_a_conflict(api: Api) -> None:
    old = await api.create(DEPLOYMENTS, deployment("web"))
    await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 2}})
    refused = await api.call("PUT", f"{DEPLOYMENTS}/web", old)
    assert refused.status == 409
    assert refused.json["message"] == (
        'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_a_write_that_changes_nothing_keeps_the_version(api: Api) -> None:
    before = await api.create(DEPLOYMENTS, deployment("web"))
    api.clock.advance(60)
    after = await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 1}})
    assert after.json["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_a_dry_run_answers_and_stores_nothing(api: Api) -> None:
    shown = await api.create(f"{DEPLOYMENTS}?dryRun=All", deployment("web"))
    assert "resourceVersion" not in shown["metadata"]
    assert (await api.get(f"{DEPLOYMENTS}/web")).status == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        pytest.param(
            "/api/v1/namespaces/none/configmaps",
            {"metadata": {"name": "a"}},
            404,
            'namespaces "none" not found',
            id="namespace-missing",
        ),
        pytest.param(
            "/api/v1/namespaces/team/configmaps",
            {"metadata": {"name": "a", "namespace": "other"}},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
            id="other-namespace",
        ),
        pytest.param(
            "/api/v1/namespaces/team/configmaps",
            {},
            422,
            'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
            id="no-name",
        ),
        pytest.param(
            "/api/v1/namespaces/team/configmaps",
            {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}},
            400,
            'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to '
            "(core.ConfigMap): unknown conversion",
            id="other-kind",
        ),
        pytest.param(
            "/api/v1/namespaces/team/configmaps?fieldValidation=Strict",
            {"metadata": {"name": "a"}, "dat": {}},
            400,
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
            'unknown field "dat"',
            id="unknown-field",
        ),
        pytest.param(
            "/api/v1/namespaces/team/configmaps",
            {"metadata": {"name": "kube-root-ca.crt"}},
            409,
            'configmaps "kube-root-ca.crt" already exists',
            id="duplicate",
        ),
    ],
)
async def test_a_create_is_refused_in_the_servers_words(
    api: Api, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    refused = await api.call("POST", path, body)
    assert (refused.status, refused.json["message"]) == (status, message)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b'{"a":', 'unexpected end of JSON input ({"a":)', id="cut-off"),
        pytest.param(
            b"not json",
            "invalid character 'o' in literal null (expecting 'u') (6e6f74206a736f6e)",
            id="no-json",
        ),
        pytest.param(b"", "unexpected end of JSON input (<empty>)", id="empty"),
    ],
)
async def test_a_body_that_is_no_json_is_quoted(api: Api, content: bytes, complaint: str) -> None:
    refused = await api.call("POST", "/api/v1/namespaces/team/configmaps", content=content)
    assert refused.status == 400
    assert refused.json["message"].endswith(f"json parse error: {complaint}")


async def test_a_key_that_comes_twice_is_refused_when_validation_is_strict(api: Api) -> None:
    content = b'{"metadata": {"name": "a", "name": "b"}}'
    path = "/api/v1/namespaces/team/configmaps"
    refused = await api.call("POST", f"{path}?fieldValidation=Strict", content=content)
    assert refused.json["message"].endswith('strict decoding error: duplicate field "metadata.name"')
    warned = await api.call("POST", path, content=content)
    assert warned.status == 201
    assert warned.headers["Warning"] == '299 - "duplicate field \\"metadata.name\\""'


@pytest.mark.parametrize(
    ("type", "body", "replicas"),
    [
        pytest.param(MERGE, {"spec": {"replicas": 2}}, 2, id="merge"),
        pytest.param(STRATEGIC, {"spec": {"replicas": 3}}, 3, id="strategic"),
        pytest.param(JSON_PATCH, [{"op": "replace", "path": "/spec/replicas", "value": 4}], 4, id="json"),
    ],
)
async def test_every_patch_format_works(api: Api, type: str, body: Any, replicas: int) -> None:
    await api.create(DEPLOYMENTS, deployment("web"))
    patched = await api.patch(f"{DEPLOYMENTS}/web", body, type)
    assert patched.json["spec"]["replicas"] == replicas


async def test_server_side_apply_creates_then_conflicts_with_another_manager(api: Api) -> None:
    path = "/api/v1/namespaces/team/configmaps/settings"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}
    created = await api.patch(f"{path}?fieldManager=one", body, APPLY)
    body["data"] = {"a": "2"}
    refused = await api.patch(f"{path}?fieldManager=two", body, APPLY)
    forced = await api.patch(f"{path}?fieldManager=two&force=true", body, APPLY)
    assert (created.status, refused.status, forced.status) == (201, 409, 200)
    assert refused.json["details"]["causes"][0]["field"] == ".data.a"
    assert forced.json["data"] == {"a": "2"}


async def test_an_object_with_a_finalizer_stays_until_it_is_removed(api: Api) -> None:
    path = "/api/v1/namespaces/team/configmaps"
    await api.create(path, {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}})
    answered = await api.delete(f"{path}/held")
    assert answered.json["metadata"]["deletionTimestamp"] == "2026-11-22T12:00:00Z"
    freed = (await api.patch(f"{path}/held", {"metadata": {"finalizers": None}})).json["metadata"]
    assert (await api.get(f"{path}/held")).status == 404
    revision = answered.json["metadata"]["resourceVersion"]
    seen = (await api.get(f"{path}?watch=1&resourceVersion={revision}&timeoutSeconds=1")).events
    assert "finalizers" not in freed
    assert [one["type"] for one in seen] == ["DELETED"]
    assert seen[0]["object"]["metadata"]["finalizers"] == ["example.com/hold"]


@pytest.mark.parametrize(
    ("policy", "finalizer"),
    [
        pytest.param("Foreground", "foregroundDeletion", id="foreground"),
        pytest.param("Orphan", "orphan", id="orphan"),
    ],
)
async def test_foreground_and_orphan_leave_the_object_to_the_collector(
    api: Api, policy: str, finalizer: str
) -> None:
    await api.create(DEPLOYMENTS, deployment("web"))
    answered = await api.delete(f"{DEPLOYMENTS}/web", {"propagationPolicy": policy})
    assert answered.json["metadata"]["finalizers"] == [finalizer]
    assert answered.json["metadata"]["generation"] == 2


async def test_a_background_delete_answers_a_status_with_the_uid(api: Api) -> None:
    created = await api.create(DEPLOYMENTS, deployment("web"))
    answered = (await api.delete(f"{DEPLOYMENTS}/web")).json
    assert answered["status"] == "Success"
    assert answered["details"]["uid"] == created["metadata"]["uid"]


async def test_a_scheduled_pod_is_deleted_when_its_node_says_so(api: Api) -> None:
    pods = "/api/v1/namespaces/team/pods"
    await api.create(pods, pod("app"))
    binding = {"metadata": {"name": "app"}, "target": {"kind": "Node", "name": "node"}}
    await api.create(f"{pods}/app/binding", binding)
    marked = (await api.delete(f"{pods}/app")).json["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 30
    assert marked["deletionTimestamp"] == "2026-11-22T12:00:30Z"
    gone = await api.delete(f"{pods}/app", {"gracePeriodSeconds": 0, "preconditions": {"uid": marked["uid"]}})
    assert gone.status == 200
    assert (await api.get(f"{pods}/app")).status == 404


async def test_a_delete_for_another_uid_is_a_conflict(api: Api) -> None:
    await api.create(DEPLOYMENTS, deployment("web"))
    refused = await api.delete(f"{DEPLOYMENTS}/web", {"preconditions": {"uid": "other"}})
    assert refused.status == 409


async def test_nothing_new_enters_a_namespace_that_goes_away(api: Api) -> None:
    await api.delete("/api/v1/namespaces/team")
    refused = await api.call("POST", "/api/v1/namespaces/team/configmaps", {"metadata": {"name": "a"}})
    assert refused.status == 403
    assert refused.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"


async def test_a_namespace_ends_when_its_finalizer_is_taken(api: Api) -> None:
    namespace = (await api.delete("/api/v1/namespaces/team")).json
    namespace["spec"] = {"finalizers": []}
    ended = await api.call("PUT", "/api/v1/namespaces/team/finalize", namespace)
    assert ended.status == 200
    assert (await api.get("/api/v1/namespaces/team")).status == 404


async def test_what_every_namespace_holds_comes_back_after_a_delete(api: Api) -> None:
    path = "/api/v1/namespaces/team/configmaps/kube-root-ca.crt"
    before = (await api.get(path)).json
    await api.delete(path)
    after = (await api.get(path)).json
    assert after["data"] == {"ca.crt": "certificate"}
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


async def test_services_get_distinct_addresses_and_keep_them(api: Api) -> None:
    path = "/api/v1/namespaces/team/services"
    made = [
        await api.create(path, {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})
        for name in ("blue", "green")
    ]
    addresses = {one["spec"]["clusterIP"] for one in made}
    assert len(addresses) == 2
    patched = await api.patch(f"{path}/blue", {"spec": {"selector": {"version": "green"}}})
    assert patched.json["spec"]["clusterIP"] == made[0]["spec"]["clusterIP"]


async def test_events_are_one_store_under_two_groups(api: Api) -> None:
    about = {"kind": "Pod", "name": "app", "namespace": "team"}
    event = {"metadata": {"name": "app.1"}, "involvedObject": about, "reason": "Started", "message": "up"}
    await api.create("/api/v1/namespaces/team/events", event)
    newer = (await api.get("/apis/events.k8s.io/v1/namespaces/team/events/app.1")).json
    assert (newer["regarding"]["name"], newer["note"]) == ("app", "up")


async def test_a_custom_kind_is_served_from_its_definition(api: Api) -> None:
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await api.create(definitions, {"metadata": {"name": "widgets.example.com"}, "spec": spec})
    seen = await api.get(
        f"{definitions}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name=widgets.example.com"
    )
    stored = seen.events[-1]["object"]
    assert {one["type"]: one["status"] for one in stored["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    widgets = "/apis/example.com/v1/namespaces/team/widgets"
    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 1}}
    assert (await api.create(widgets, body))["spec"] == {"size": 1}
    refused = await api.patch(f"{widgets}/a", {"spec": {}}, STRATEGIC)
    assert refused.status == 415
    await api.delete(f"{definitions}/widgets.example.com")
    assert (await api.get(widgets)).status == 404
