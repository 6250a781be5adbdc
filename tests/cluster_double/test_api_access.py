"""Who may ask the API server, and for what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_lab import DEVELOPER, Api, api_server

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with api_server(tmp_path / "data") as server:
        await server.namespace("team")
        yield server


async def _allow_developers(api: Api, rule: dict[str, list[str]]) -> None:
    await api.create(f"{RBAC}/namespaces/team/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    group = {"kind": "Group", "name": "developers", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "b"}, "subjects": [group], "roleRef": reference}
    await api.create(f"{RBAC}/namespaces/team/rolebindings", binding)


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        pytest.param("wrong", "/api/v1/pods", 401, id="unknown-token"),
        pytest.param("", "/api/v1/pods", 403, id="anonymous"),
        pytest.param("", "/readyz", 200, id="anonymous-health"),
        pytest.param("", "/apis", 403, id="anonymous-discovery"),
        pytest.param(DEVELOPER, "/apis", 200, id="discovery"),
        pytest.param(DEVELOPER, "/api/v1/namespaces/team/pods", 403, id="no-role"),
    ],
)
async def test_a_request_without_a_right_is_refused(api: Api, token: str, path: str, status: int) -> None:
    assert (await api.get(path, token=token)).status == status


async def test_a_role_allows_what_it_names_and_nothing_more(api: Api) -> None:
    await _allow_developers(api, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
    pods = "/api/v1/namespaces/team/pods"
    assert (await api.get(pods, token=DEVELOPER)).status == 200
    refused = await api.delete(f"{pods}/app", token=DEVELOPER)
    assert refused.json["message"] == (
        'pods "app" is forbidden: User "developer" cannot delete resource "pods" in API group "" '
        'in the namespace "team"'
    )
    assert (await api.get("/api/v1/namespaces/default/pods", token=DEVELOPER)).status == 403


async def test_a_role_with_names_allows_those_objects_only(api: Api) -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["own"]}
    await _allow_developers(api, rule)
    secrets = "/api/v1/namespaces/team/secrets"
    assert (await api.get(f"{secrets}/own", token=DEVELOPER)).status == 404
    assert (await api.get(f"{secrets}/other", token=DEVELOPER)).status == 403


async def test_an_access_review_answers_what_a_request_would_meet(api: Api) -> None:
    await _allow_developers(api, {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]})
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    wanted = {"namespace": "team", "verb": "get", "resource": "pods", "subresource": "log"}
    log = await api.create(reviews, {"spec": {"resourceAttributes": wanted}}, token=DEVELOPER)
    wanted["subresource"] = "exec"
    run = await api.create(reviews, {"spec": {"resourceAttributes": wanted}}, token=DEVELOPER)
    assert (log["status"]["allowed"], run["status"]["allowed"]) == (True, False)


async def test_impersonation_takes_the_rights_of_the_other(api: Api) -> None:
    headers = {"Impersonate-User": "system:serviceaccount:default:default"}
    refused = await api.get("/api/v1/namespaces/team/pods", headers=headers)
    assert refused.json["message"] == (
        'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" '
        'in API group "" in the namespace "team"'
    )
    unasked = await api.get("/api/v1/pods", headers={"Impersonate-User": "admin"}, token=DEVELOPER)
    assert 'cannot impersonate resource "users"' in unasked.json["message"]


async def test_an_unknown_host_name_is_refused(api: Api) -> None:
    refused = await api.get("/version", headers={"Host": "evil.example.com"})
    assert refused.status == 403


async def test_a_service_accounts_token_works_until_it_expires(api: Api) -> None:
    path = "/api/v1/namespaces/team/serviceaccounts/default/token"
    token = (await api.create(path, {"spec": {"expirationSeconds": 600}}))["status"]["token"]
    who = await api.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:team:default"
    api.clock.advance(601)
    assert (await api.get("/version", token=token)).status == 401


async def test_a_token_of_a_deleted_account_is_void(api: Api) -> None:
    accounts = "/api/v1/namespaces/team/serviceaccounts"
    await api.create(accounts, {"metadata": {"name": "robot"}})
    token = (await api.create(f"{accounts}/robot/token", {}))["status"]["token"]
    assert (await api.get("/apis", token=token)).status == 200
    await api.delete(f"{accounts}/robot")
    assert (await api.get("/apis", token=token)).status == 401


async def test_a_forged_token_is_refused(api: Api) -> None:
    path = "/api/v1/namespaces/team/serviceaccounts/default/token"
    token = (await api.create(path, {}))["status"]["token"]
    head, claims, signature = token.split(".")
    forged = f"{head}.{claims}.{signature[::-1]}"
    assert (await api.get("/version", token=forged)).status == 401


async def test_every_published_document_can_be_fetched_and_cached(api: Api) -> None:
    index = (await api.get("/openapi/v3")).json["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/gateway.networking.k8s.io/v1"} <= set(index)
    for entry in index.values():
        document = await api.get(entry["serverRelativeURL"])
        assert document.json["openapi"] == "3.0.0"
        again = await api.get(entry["serverRelativeURL"], headers={"If-None-Match": document.headers["ETag"]})
        assert again.status == 304
