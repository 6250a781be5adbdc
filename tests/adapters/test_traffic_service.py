"""What is the Service router's own: all or nothing, hands at the selector, and a change of routers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from colours import OTHER_DIGEST, endpoints, pod, replica_set
from test_traffic_contract import ALL_BLUE, ALL_GREEN, BLUE, GREEN, Ground, _real

from platform_ops.adapters.kube_api import KubeApi, object_path
from platform_ops.core.errors import Conflict, NotApproved, Refused
from platform_ops.core.ports import Fence
from platform_ops.core.release import Router, Weights

FENCE = Fence("rollout-1", 3)


@pytest.fixture
async def ground(kube: KubeApi, admin: KubeApi) -> Ground:
    return await _real(kube, admin, Router.SERVICE)


def service_path(ground: Ground) -> str:
    return object_path("v1", "Service", ground.target.namespace, ground.target.service)


def route_path(ground: Ground) -> str:
    return object_path(
        "gateway.networking.k8s.io/v1", "HTTPRoute", ground.target.namespace, ground.target.service
    )


async def test_it_knows_no_shares(ground: Ground) -> None:
    with pytest.raises(Refused, match="all traffic at once"):
        await ground.router.shift(ground.target, Weights(50, 50), FENCE)


async def test_the_route_of_the_users_ends_at_the_service(ground: Ground, kube: KubeApi) -> None:
    await ground.router.shift(ground.target, ALL_BLUE, FENCE)
    rules = (await kube.get(ground.target.context, route_path(ground)))["spec"]["rules"]
    assert [[backend["name"] for backend in rule["backendRefs"]] for rule in rules] == [
        ["llm-service-blue"],
        ["llm-service-green"],
        ["llm-service"],
    ]


async def test_a_colour_that_a_hand_gave_the_traffic_must_be_approved_to_keep_it(
    ground: Ground, admin: KubeApi
) -> None:
    await ground.router.shift(ground.target, ALL_BLUE, FENCE)
    await admin.patch(
        ground.target.context, service_path(ground), {"spec": {"selector": {"version": "green"}}}
    )
    ground.approved.discard(OTHER_DIGEST)
    with pytest.raises(NotApproved):
        await ground.router.shift(ground.target, ALL_GREEN, FENCE)
    await ground.router.shift(ground.target, ALL_BLUE, FENCE)
    assert (await ground.router.observe(ground.target)).weights == ALL_BLUE


async def test_a_selector_that_leads_elsewhere_is_repaired_whole(ground: Ground, admin: KubeApi) -> None:
    """As document A has it: `{"app": "llm-service-green"}`."""
    await ground.router.shift(ground.target, ALL_BLUE, FENCE)
    astray = {"spec": {"selector": {"app": "llm-service-green", "version": None, "tier": "web"}}}
    await admin.patch(ground.target.context, service_path(ground), astray)
    assert not (await ground.router.observe(ground.target)).weights.routed
    await ground.router.shift(ground.target, ALL_GREEN, FENCE)
    service = await admin.get(ground.target.context, service_path(ground))
    assert service["spec"]["selector"] == {"app": "llm-service", "version": "green"}


async def test_of_two_shifts_that_saw_the_same_service_one_is_told_to_look_again(ground: Ground) -> None:
    await ground.router.shift(ground.target, ALL_BLUE, FENCE)
    shifts = (ground.router.shift(ground.target, weights, FENCE) for weights in (ALL_GREEN, ALL_BLUE) * 3)
    outcomes = await asyncio.gather(*shifts, return_exceptions=True)
    assert any(isinstance(outcome, Conflict) for outcome in outcomes)
    assert all(outcome is None or isinstance(outcome, Conflict) for outcome in outcomes)


async def test_the_catalog_may_name_the_other_router_from_now_on(ground: Ground) -> None:
    by_weight = replace(ground.target, router=Router.HTTP_ROUTE)
    await ground.router.shift(ground.target, ALL_BLUE, FENCE)
    assert (await ground.router.observe(by_weight)).weights == ALL_BLUE
    await ground.router.shift(by_weight, Weights(50, 50), FENCE)
    assert (await ground.router.observe(by_weight)).weights == Weights(50, 50)
    await ground.router.shift(by_weight, ALL_GREEN, FENCE)
    assert (await ground.router.observe(ground.target)).weights == ALL_GREEN
    await ground.router.shift(ground.target, ALL_BLUE, FENCE)
    assert (await ground.router.observe(ground.target)).weights == ALL_BLUE


async def test_a_route_that_leads_past_the_service_is_refused_with_what_to_do(
    ground: Ground, admin: KubeApi
) -> None:
    await ground.router.shift(ground.target, ALL_BLUE, FENCE)
    route = await admin.get(ground.target.context, route_path(ground))
    route["spec"]["rules"][2]["backendRefs"][0]["name"] = "somebody-elses"
    await admin.request(ground.target.context, "PUT", route_path(ground), body=route)
    for attempt in (
        ground.router.observe(ground.target),
        ground.router.shift(ground.target, ALL_GREEN, FENCE),
    ):
        with pytest.raises(Refused, match="delete it, and it is written again"):
            await attempt
    assert await ground.workloads.selected_colour(ground.target) is BLUE


async def test_the_colour_behind_the_service_is_that_of_all_its_ready_endpoints(
    ground: Ground, admin: KubeApi
) -> None:
    target = ground.target
    running = {"ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    await ground.router.shift(target, ALL_BLUE, FENCE)
    for colour in (BLUE, GREEN):
        template = await replica_set(admin, target, colour, 1)
        await pod(admin, target, colour, f"{colour}-1", template, running)
    served = ground.workloads.served_colour  # type: ignore[attr-defined]
    assert await served(target) is None
    await endpoints(admin, target, BLUE, {"blue-1": True, "green-1": False}, service=target.service)
    assert await served(target) is BLUE
    slices = object_path("discovery.k8s.io/v1", "EndpointSlice", target.namespace, f"{target.service}-1")
    both = {"endpoints": [_endpoint(target.namespace, name) for name in ("blue-1", "green-1")]}
    await admin.patch(target.context, slices, both)
    assert await served(target) is None


def _endpoint(namespace: str, name: str) -> dict[str, object]:
    return {
        "addresses": ["127.64.0.9" if name == "blue-1" else "127.64.0.10"],
        "conditions": {"ready": True},
        "targetRef": {"kind": "Pod", "name": name, "namespace": namespace},
    }
