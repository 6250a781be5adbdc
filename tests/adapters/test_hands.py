"""Changes by hand, seen through the cluster double's real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from colours import DIGEST, MANIFESTS, OTHER_DIGEST, fresh_target, image
from test_traffic import Approved

from platform_ops.adapters.cluster_view import ClusterView
from platform_ops.adapters.hands import Hands
from platform_ops.adapters.kube_api import APPLY, KubeApi, object_path
from platform_ops.adapters.kubernetes import KubernetesWorkloads
from platform_ops.adapters.traffic import Guard, HTTPRouteRouter
from platform_ops.core.ports import Fence
from platform_ops.core.release import Colour, Target, Weights

BLUE, GREEN = Colour.BLUE, Colour.GREEN


@pytest.fixture
async def target(admin: KubeApi) -> Target:
    return await fresh_target(admin)


@pytest.fixture
async def hands(kube: KubeApi, target: Target) -> AsyncIterator[Hands]:
    """Blue serves; green stands beside it."""
    workloads = KubernetesWorkloads(kube, MANIFESTS.service)
    await workloads.apply(target, MANIFESTS.colour(target, BLUE, image(DIGEST)))
    await workloads.apply(target, MANIFESTS.colour(target, GREEN, image(OTHER_DIGEST)))
    guard = Guard(workloads, Approved({DIGEST, OTHER_DIGEST}))
    router = HTTPRouteRouter(kube, workloads, guard, MANIFESTS.route)
    await router.shift(target, Weights(100, 0), Fence("rollout-1", 3))
    view = ClusterView(kube)
    yield Hands(kube, workloads, router, view)
    await view.aclose()


def path(target: Target, api_version: str, kind: str, name: str = "") -> str:
    return object_path(api_version, kind, target.namespace, name or target.service)


async def point_at(admin: KubeApi, target: Target, colour: str) -> None:
    change = {"spec": {"selector": {"version": colour}}}
    await admin.request(
        target.context,
        "PATCH",
        path(target, "v1", "Service"),
        query={"fieldManager": "kubectl-patch"},
        body=change,
        content_type="application/merge-patch+json",
    )


async def test_what_we_wrote_ourselves_is_no_change_by_hand(hands: Hands, target: Target) -> None:
    seen = await hands.look(target)
    assert seen.selected is BLUE
    assert seen.route.weights == Weights(100, 0)
    assert {colour: status.digest for colour, status in seen.colours.items()} == {
        BLUE: DIGEST,
        GREEN: OTHER_DIGEST,
    }
    assert [seen.service.by, seen.http_route.by, seen.deployments[BLUE].by] == ["", "", ""]


async def test_a_patched_selector_is_told_from_ours_and_by_whom(
    hands: Hands, target: Target, admin: KubeApi
) -> None:
    before = await hands.look(target)
    await point_at(admin, target, "green")
    seen = await hands.look(target)
    assert (seen.selected, seen.service.by) == (GREEN, "kubectl-patch")
    assert seen.service.mark != before.service.mark
    assert seen.deployments == before.deployments


async def test_a_scaled_deployment_has_a_mark_of_its_own(
    hands: Hands, target: Target, admin: KubeApi
) -> None:
    before = await hands.look(target)
    scale = path(target, "apps/v1", "Deployment", target.deployment(GREEN)) + "/scale"
    await admin.request(
        target.context,
        "PATCH",
        scale,
        query={"fieldManager": "kubectl"},
        body={"spec": {"replicas": 1}},
        content_type="application/merge-patch+json",
    )
    seen = await hands.look(target)
    assert seen.colours[GREEN].desired == 1
    assert seen.deployments[GREEN].mark != before.deployments[GREEN].mark
    assert seen.deployments[GREEN].by == "kubectl"


async def test_a_route_that_somebody_rewrote_is_told_as_its_trouble(
    hands: Hands, target: Target, admin: KubeApi
) -> None:
    where = path(target, "gateway.networking.k8s.io/v1", "HTTPRoute")
    route = await admin.get(target.context, where)
    del route["spec"]["rules"][2]
    await admin.request(target.context, "PUT", where, query={"fieldManager": "other-operator"}, body=route)
    seen = await hands.look(target)
    assert "somebody (other-operator) changed or owns it: delete it" in seen.route.trouble
    assert not seen.route.weights.routed


async def test_a_namespace_that_is_gone_is_told_from_one_that_is_empty(
    hands: Hands, target: Target, admin: KubeApi
) -> None:
    empty = await fresh_target(admin)
    assert (await hands.look(empty)).namespace
    nowhere = Target(target.service, target.environment, target.context, "was-never-there", target.url)
    assert not (await hands.look(nowhere)).namespace


async def _next(changes: AsyncIterator[frozenset[Target]]) -> frozenset[Target]:
    async with asyncio.timeout(20):
        return await anext(changes)


async def test_one_watch_tells_which_of_many_targets_was_changed(
    hands: Hands, target: Target, admin: KubeApi
) -> None:
    other = await fresh_target(admin)
    changes = hands.changes([target, other])
    assert await _next(changes) == {target, other}
    seen: set[Target] = set()
    while target not in seen:  # the first lists tell of what is there
        seen |= await _next(changes)
    await point_at(admin, target, "green")
    assert await _next(changes) == {target}
    path_of_pods = path(target, "apps/v1", "Deployment", target.deployment(BLUE))
    status = {"status": {"observedGeneration": 7}}
    await admin.patch(target.context, f"{path_of_pods}/status", status)
    await admin.patch(target.context, path(other, "v1", "Service"), _service_of(other), APPLY)
    assert await _next(changes) == {other}, "a Deployment's status is no change by hand"
    await changes.aclose()


def _service_of(target: Target) -> dict[str, object]:
    return dict(MANIFESTS.service(target, BLUE))
