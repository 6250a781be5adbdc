"""The router against the cluster double's real API server: weights, guard and fence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from colours import DIGEST, MANIFESTS, OTHER_DIGEST, fresh_target, image

from platform_ops.adapters.kube_api import KubeApi, object_path
from platform_ops.adapters.kubernetes import KubernetesWorkloads
from platform_ops.adapters.traffic import Guard, HTTPRouteRouter
from platform_ops.core.errors import Conflict, GateClosed, NotApproved, Refused, StaleHolder
from platform_ops.core.ports import Fence, RouteState
from platform_ops.core.release import Colour, Target, Weights

BLUE, GREEN = Colour.BLUE, Colour.GREEN
FENCE = Fence("rollout-1", 3)


@dataclass
class Approved:
    """The ledger's answer: these digests, and what was asked."""

    digests: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def ensure_allowed(self, target: Target, digest: str) -> None:
        self.asked.append(digest)
        if digest not in self.digests:
            raise NotApproved(f"no approval of {digest} for {target.key}")


@pytest.fixture
def approvals() -> Approved:
    return Approved({DIGEST, OTHER_DIGEST})


@pytest.fixture
async def target(admin: KubeApi) -> Target:
    return await fresh_target(admin)


@pytest.fixture
async def router(kube: KubeApi, target: Target, approvals: Approved) -> HTTPRouteRouter:
    """With both colours deployed: blue runs one digest, green the other."""
    workloads = KubernetesWorkloads(kube, MANIFESTS.service)
    await workloads.apply(target, MANIFESTS.colour(target, BLUE, image(DIGEST)))
    await workloads.apply(target, MANIFESTS.colour(target, GREEN, image(OTHER_DIGEST)))
    return HTTPRouteRouter(kube, workloads, Guard(workloads, approvals), MANIFESTS.route)


def route_path(target: Target) -> str:
    return object_path("gateway.networking.k8s.io/v1", "HTTPRoute", target.namespace, target.service)


async def test_no_route_is_no_weights(router: HTTPRouteRouter, target: Target) -> None:
    assert await router.observe(target) == RouteState(Weights(0, 0), 0)


async def test_the_first_shift_writes_the_route_and_the_next_ones_move_its_weights(
    router: HTTPRouteRouter, target: Target, kube: KubeApi
) -> None:
    await router.shift(target, Weights(100, 0), FENCE)
    assert await router.observe(target) == RouteState(Weights(100, 0), 3)
    before = (await kube.get(target.context, route_path(target)))["spec"]
    await router.shift(target, Weights(95, 5), Fence("rollout-2", 4))
    after = (await kube.get(target.context, route_path(target)))["spec"]
    assert await router.observe(target) == RouteState(Weights(95, 5), 4)
    assert after["rules"][:2] == before["rules"][:2]
    assert [backend["filters"] for backend in after["rules"][2]["backendRefs"]] == [
        backend["filters"] for backend in before["rules"][2]["backendRefs"]
    ]


async def test_a_digest_without_approval_gets_no_traffic_whoever_asks(
    router: HTTPRouteRouter, target: Target, approvals: Approved
) -> None:
    await router.shift(target, Weights(100, 0), FENCE)
    approvals.digests.discard(OTHER_DIGEST)
    with pytest.raises(NotApproved, match=OTHER_DIGEST):
        await router.shift(target, Weights(95, 5), FENCE)
    assert (await router.observe(target)).weights == Weights(100, 0)


async def test_only_the_colour_whose_weight_rises_is_asked_for(
    router: HTTPRouteRouter, target: Target, approvals: Approved
) -> None:
    await router.shift(target, Weights(100, 0), FENCE)
    await router.shift(target, Weights(50, 50), FENCE)
    approvals.digests.discard(OTHER_DIGEST)
    approvals.asked.clear()
    await router.shift(target, Weights(100, 0), FENCE)
    assert approvals.asked == [DIGEST]


async def test_a_colour_that_is_not_deployed_gets_no_traffic(
    kube: KubeApi, target: Target, approvals: Approved
) -> None:
    workloads = KubernetesWorkloads(kube, MANIFESTS.service)
    router = HTTPRouteRouter(kube, workloads, Guard(workloads, approvals), MANIFESTS.route)
    with pytest.raises(GateClosed, match="blue gets no traffic: it is not deployed"):
        await router.shift(target, Weights(100, 0), FENCE)
    assert await kube.find(target.context, route_path(target)) is None


async def test_a_holder_that_was_outrun_cannot_move_traffic(router: HTTPRouteRouter, target: Target) -> None:
    await router.shift(target, Weights(100, 0), Fence("rollout-1", 7))
    with pytest.raises(StaleHolder, match="token 6 of rollout rollout-1 is outrun by 7"):
        await router.shift(target, Weights(50, 50), Fence("rollout-1", 6))
    assert (await router.observe(target)).weights == Weights(100, 0)


async def test_of_two_shifts_that_saw_the_same_route_one_is_told_to_look_again(
    router: HTTPRouteRouter, target: Target
) -> None:
    await router.shift(target, Weights(100, 0), FENCE)
    outcomes = await asyncio.gather(
        *(router.shift(target, Weights(100 - weight, weight), FENCE) for weight in (5, 10, 15, 20)),
        return_exceptions=True,
    )
    conflicts = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    done = [weight for weight, outcome in zip((5, 10, 15, 20), outcomes, strict=True) if outcome is None]
    assert conflicts
    assert len(conflicts) + len(done) == 4
    assert (await router.observe(target)).weights.green in done


async def test_the_service_follows_the_colour_that_has_all_traffic(
    router: HTTPRouteRouter, target: Target, kube: KubeApi
) -> None:
    workloads = KubernetesWorkloads(kube, MANIFESTS.service)
    await router.shift(target, Weights(100, 0), FENCE)
    await router.shift(target, Weights(50, 50), FENCE)
    assert await workloads.selected_colour(target) is BLUE
    await router.shift(target, Weights(0, 100), FENCE)
    assert await workloads.selected_colour(target) is GREEN


@pytest.mark.parametrize(
    ("shares", "weights"),
    [
        pytest.param((1, 1), Weights(50, 50), id="not-percent"),
        pytest.param((None, 0), Weights(100, 0), id="left-out-is-one"),
        pytest.param((0, 0), Weights(0, 0), id="nothing-routed"),
    ],
)
async def test_weights_that_people_wrote_are_read_as_the_gateway_reads_them(
    router: HTTPRouteRouter, target: Target, admin: KubeApi, shares: tuple[int | None, int], weights: Weights
) -> None:
    await router.shift(target, Weights(100, 0), FENCE)
    route = await admin.get(target.context, route_path(target))
    for backend, share in zip(route["spec"]["rules"][2]["backendRefs"], shares, strict=True):
        backend.pop("weight")
        if share is not None:
            backend["weight"] = share
    await admin.request(target.context, "PUT", route_path(target), body=route)
    assert (await router.observe(target)).weights == weights


async def test_a_route_that_somebody_cut_down_is_refused_with_what_to_do(
    router: HTTPRouteRouter, target: Target, admin: KubeApi
) -> None:
    await router.shift(target, Weights(100, 0), FENCE)
    route = await admin.get(target.context, route_path(target))
    del route["spec"]["rules"][2]["backendRefs"][1]
    await admin.request(target.context, "PUT", route_path(target), body=route)
    with pytest.raises(Refused, match="delete it, and it is written again"):
        await router.observe(target)
