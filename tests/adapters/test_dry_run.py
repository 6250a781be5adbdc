"""Dry runs against the cluster double's real API server: what would change is told, and nothing does."""

from __future__ import annotations

from typing import Any

import pytest
from colours import DIGEST, MANIFESTS, OTHER_DIGEST, fresh_target, image

from platform_ops.adapters.dry_run import KubernetesDryRun
from platform_ops.adapters.kube_api import KubeApi, object_path
from platform_ops.adapters.kubernetes import KubernetesWorkloads
from platform_ops.core.manifest_diff import Change, ManifestChange
from platform_ops.core.ports import Manifest
from platform_ops.core.release import Colour, Target

BLUE = Colour.BLUE


@pytest.fixture
async def target(admin: KubeApi) -> Target:
    return await fresh_target(admin)


def colour(target: Target, digest: str = DIGEST) -> tuple[Manifest, ...]:
    return MANIFESTS.colour(target, BLUE, image(digest))


def job(target: Target) -> Manifest:
    found = MANIFESTS.migration(target, image())
    assert found is not None
    return found.manifests[-1]


async def stored(admin: KubeApi, target: Target, manifests: tuple[Manifest, ...]) -> list[Any]:
    """Each object as the API server has it, its resourceVersion included; None without one."""
    return [
        await admin.find(
            target.context, _path(target, one["apiVersion"], one["kind"], one["metadata"]["name"])
        )
        for one in manifests
    ]


def _path(target: Target, api_version: str, kind: str, name: str) -> str:
    return object_path(api_version, kind, target.namespace, name)


async def test_what_is_not_there_is_new_and_is_not_there_afterwards_either(
    kube: KubeApi, admin: KubeApi, target: Target
) -> None:
    manifests = (job(target), *colour(target))
    found = await KubernetesDryRun(kube).changes(target, manifests)
    assert [(one.kind, one.change) for one in found] == [(one["kind"], Change.NEW) for one in manifests]
    deployment = _of(found, "Deployment")
    assert f"image: {image()}" in deployment.diff
    assert all(line.startswith(("+", "---", "@@")) for line in deployment.diff.splitlines())
    assert await stored(admin, target, manifests) == [None] * len(manifests)


async def test_what_differs_is_a_diff_without_the_api_servers_bookkeeping(
    kube: KubeApi, admin: KubeApi, target: Target
) -> None:
    await KubernetesWorkloads(kube, MANIFESTS.service).apply(target, colour(target))
    before = await stored(admin, target, colour(target))
    found = await KubernetesDryRun(kube).changes(target, colour(target, OTHER_DIGEST))
    assert {one.kind for one in found if one.change is Change.CHANGED} == {"Deployment"}
    assert {one.change for one in found if one.kind != "Deployment"} == {Change.UNCHANGED}
    changed = [line for line in _of(found, "Deployment").diff.splitlines() if line[0] in "+-"]
    assert changed[:2] == [
        f"--- Deployment/{target.deployment(BLUE)} (live)",
        f"+++ Deployment/{target.deployment(BLUE)} (applied)",
    ]
    assert [line.strip("+- ") for line in changed[2:]] == [
        f"image: {image()}",
        f"image: {image(OTHER_DIGEST)}",
    ]
    assert await stored(admin, target, colour(target)) == before


async def test_a_secrets_values_are_in_no_diff(kube: KubeApi, admin: KubeApi, target: Target) -> None:
    def secret(value: str) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "llm-service", "namespace": target.namespace},
            "stringData": {"token": value},
        }

    await KubernetesWorkloads(kube, MANIFESTS.service).apply(target, [secret("first-value")])
    (changed,) = await KubernetesDryRun(kube).changes(target, [secret("second-value")])
    assert changed.change is Change.CHANGED
    assert "+  token: '*** (after)'" in changed.diff.splitlines()
    for value in ("first-value", "second-value", "Zmlyc3Qt", "c2Vjb25k"):
        assert value not in changed.diff


async def test_a_job_that_is_there_is_left_as_it_is(kube: KubeApi, target: Target) -> None:
    made = {**job(target)}
    path = object_path("batch/v1", "Job", target.namespace)
    await kube.request(target.context, "POST", path, body=made)
    (found,) = await KubernetesDryRun(kube).changes(target, [made])
    assert (found.change, found.diff) == (Change.UNCHANGED, "")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        pytest.param({"replicas": -1}, "replicas", id="by-the-api-server"),
        pytest.param({"template": {"spec": {"containers": [{"image": "web:latest"}]}}}, "digest", id="a-tag"),
    ],
)
async def test_what_would_be_refused_says_why_and_keeps_nothing_of_the_rest_back(
    kube: KubeApi, target: Target, broken: dict[str, Any], why: str
) -> None:
    manifests = [
        {**one, "spec": {**one["spec"], **broken}} if one["kind"] == "Deployment" else one
        for one in colour(target)
    ]
    found = await KubernetesDryRun(kube).changes(target, manifests)
    assert {one.change for one in found if one.kind != "Deployment"} == {Change.NEW}
    deployment = _of(found, "Deployment")
    assert (deployment.change, why in deployment.why) == (Change.REFUSED, True)


async def test_a_namespace_that_is_missing_is_to_be_created_first(admin: KubeApi, target: Target) -> None:
    nowhere = Target("llm-service", "production", "production", "no-such-namespace", target.url)
    found = await KubernetesDryRun(admin).changes(nowhere, colour(nowhere))
    assert {one.change for one in found} == {Change.REFUSED}
    assert "create the namespace no-such-namespace first" in found[0].why


def _of(found: tuple[ManifestChange, ...], kind: str) -> ManifestChange:
    return next(one for one in found if one.kind == kind)
