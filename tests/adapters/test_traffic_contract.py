"""What every router promises: the HTTPRoute's, the Service's, and the fake that the rules are tested with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from colours import DIGEST, MANIFESTS, OTHER_DIGEST, fresh_target, image
from fakes import ManualClock, World, _Deployment
from test_traffic import Approved

from platform_ops.adapters.kube_api import KubeApi
from platform_ops.adapters.kubernetes import KubernetesWorkloads
from platform_ops.adapters.traffic import Guard, HTTPRouteRouter, RouterOfTarget, ServiceRouter
from platform_ops.core.errors import NotApproved, StaleHolder
from platform_ops.core.ports import Fence, RouteState, TrafficRouter, Workloads
from platform_ops.core.release import Colour, Router, Target, Weights

BLUE, GREEN = Colour.BLUE, Colour.GREEN
ALL_BLUE, ALL_GREEN = Weights(100, 0), Weights(0, 100)


@dataclass
class Ground:
    """A router with blue and green deployed and approved."""

    router: TrafficRouter
    workloads: Workloads
    target: Target
    approved: set[str]


@pytest.fixture(params=["http_route", "service", "fake"])
async def ground(request: pytest.FixtureRequest, kube: KubeApi, admin: KubeApi) -> Ground:
    return _fake() if request.param == "fake" else await _real(kube, admin, Router(request.param))


async def _real(kube: KubeApi, admin: KubeApi, kind: Router) -> Ground:
    target = replace(await fresh_target(admin), router=kind)
    workloads = KubernetesWorkloads(kube, MANIFESTS.service)
    approvals = Approved({DIGEST, OTHER_DIGEST})
    for colour, digest in ((BLUE, DIGEST), (GREEN, OTHER_DIGEST)):
        await workloads.apply(target, MANIFESTS.colour(target, colour, image(digest)))
    guard, route, service = Guard(workloads, approvals), MANIFESTS.route, MANIFESTS.service
    router = RouterOfTarget(
        {
            Router.HTTP_ROUTE: HTTPRouteRouter(kube, workloads, guard, route),
            Router.SERVICE: ServiceRouter(kube, workloads, guard, service, route),
        }
    )
    return Ground(router, workloads, target, approvals.digests)


def _fake() -> Ground:
    clock = ManualClock()
    world = World(clock)
    long_ago = clock.now() - timedelta(days=1)
    world.deployments = {
        BLUE: _Deployment(DIGEST, 2, long_ago),
        GREEN: _Deployment(OTHER_DIGEST, 2, long_ago),
    }
    world.approved |= {DIGEST, OTHER_DIGEST}
    target = Target("llm-service", "production", "production", "anywhere", "https://api.example.com")
    return Ground(world, world, target, world.approved)


async def test_before_the_first_shift_nobody_has_traffic(ground: Ground) -> None:
    assert await ground.router.observe(ground.target) == RouteState(Weights(), 0)


async def test_what_was_shifted_is_observed_with_its_token(ground: Ground) -> None:
    await ground.router.shift(ground.target, ALL_BLUE, Fence("one", 3))
    assert await ground.router.observe(ground.target) == RouteState(ALL_BLUE, 3)
    await ground.router.shift(ground.target, ALL_GREEN, Fence("two", 4))
    assert await ground.router.observe(ground.target) == RouteState(ALL_GREEN, 4)


async def test_a_shift_may_be_done_again(ground: Ground) -> None:
    for _ in range(2):
        await ground.router.shift(ground.target, ALL_BLUE, Fence("one", 3))
    assert await ground.router.observe(ground.target) == RouteState(ALL_BLUE, 3)


async def test_the_service_selects_the_colour_that_has_all_traffic(ground: Ground) -> None:
    for weights, colour in ((ALL_BLUE, BLUE), (ALL_GREEN, GREEN)):
        await ground.router.shift(ground.target, weights, Fence("one", 3))
        assert await ground.workloads.selected_colour(ground.target) is colour


async def test_a_digest_without_approval_gets_no_traffic(ground: Ground) -> None:
    await ground.router.shift(ground.target, ALL_BLUE, Fence("one", 3))
    ground.approved.discard(OTHER_DIGEST)
    with pytest.raises(NotApproved):
        await ground.router.shift(ground.target, ALL_GREEN, Fence("one", 3))
    assert (await ground.router.observe(ground.target)).weights == ALL_BLUE


async def test_only_the_colour_that_gains_is_asked_for(ground: Ground) -> None:
    await ground.router.shift(ground.target, ALL_GREEN, Fence("one", 3))
    ground.approved.discard(OTHER_DIGEST)
    await ground.router.shift(ground.target, ALL_BLUE, Fence("one", 3))
    assert (await ground.router.observe(ground.target)).weights == ALL_BLUE


async def test_d14_a_holder_that_was_outrun_is_refused_at_the_patch(ground: Ground) -> None:
    await ground.router.shift(ground.target, ALL_BLUE, Fence("new", 7))
    with pytest.raises(StaleHolder, match="outrun by 7"):
        await ground.router.shift(ground.target, ALL_GREEN, Fence("old", 6))
    assert await ground.router.observe(ground.target) == RouteState(ALL_BLUE, 7)


async def test_nothing_routed_before_a_first_release_lets_a_preview_be_reached(ground: Ground) -> None:
    await ground.router.shift(ground.target, Weights(), Fence("one", 3))
    assert (await ground.router.observe(ground.target)).weights == Weights()
    await ground.router.shift(ground.target, ALL_BLUE, Fence("one", 3))
    assert (await ground.router.observe(ground.target)).weights == ALL_BLUE
