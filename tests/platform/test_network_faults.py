"""Each system that the controller depends on is slow, resets its connections or hangs, in mid-rollout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import pytest
import yaml
from crash_results import Row, append, source_hash
from crashing import RATE, STEPS, USED, Struck, judge, weights_into
from faulty_link import Fault, FaultyLink
from own_platform import OwnPlatform
from releasing import POLICY, Defect, Place, until

from platform_ops import wiring
from platform_ops.core.state import Phase
from platform_ops.settings import Settings

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

LASTS = 12.0
"""Seconds: longer than a lease."""
DEPENDENCIES = ("ledger_dsn", "kubeconfig", "prometheus_url", "gateway_url")
FAULTS = (Fault.SLOW, Fault.RESETTING, Fault.HALF_OPEN)


@dataclass(frozen=True)
class NetworkCase:
    dependency: str
    """The setting that leads to it."""
    fault: Fault
    defect: Defect | None

    @property
    def id(self) -> str:
        words = f"{'bad' if self.defect else 'healthy'} {self.dependency} {self.fault}"
        return words.replace(" ", "-")


CASES = [
    NetworkCase(dependency, fault, defect)
    for dependency in DEPENDENCIES
    for fault in FAULTS
    for defect in (None, Defect.FAILS_FOR_USERS)
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_a_rollout_outlasts_every_fault_of_the_network(
    platform: OwnPlatform, place: Place, case: NetworkCase
) -> None:
    await tried(platform, place, case)


async def tried(platform: OwnPlatform, place: Place, case: NetworkCase) -> None:
    began = monotonic()
    old, old_colour = await place.serving()
    new = await place.built(case.defect)
    rollout_id = await place.open(new, steps=STEPS)
    struck = Struck(old, old_colour, new, rollout_id)
    async with (
        weights_into(place, struck.weights),
        place.traffic(RATE, USED) as traffic,
        _linked(platform, case.dependency, place.folder) as (link, desk),
    ):
        driving = asyncio.create_task(
            desk.controller.drive(rollout_id, goal=Phase.PROMOTED, holder="behind-the-link")
        )
        await until("a quarter of the traffic has moved", lambda: _moved(place, rollout_id))
        link.fault = case.fault
        await asyncio.sleep(LASTS)
        link.fault = Fault.NONE
        async with asyncio.timeout(180):
            await driving
    problems = await judge(place, case.defect is not None, struck)
    rollout = await place.desk.ledger.rollouts.get(rollout_id)
    if case.defect is None and rollout.phase is not Phase.PROMOTED:
        problems.append(f"a fault of the network took a healthy release back: {rollout.reason}")
    append(
        Row(
            case=case.id,
            release="bad" if case.defect else "healthy",
            victim=f"network: {case.dependency} {case.fault}",
            point="a quarter of the traffic has moved",
            source=source_hash(),
            passed=not problems,
            end=rollout.phase.value,
            failed_requests=len(traffic.failed),
            requests=len(traffic.records),
            seconds=monotonic() - began,
            why="; ".join(problems),
        )
    )
    assert not problems, problems


@asynccontextmanager
async def _linked(
    platform: OwnPlatform, dependency: str, folder: Path
) -> AsyncIterator[tuple[FaultyLink, wiring.Desk]]:
    """A desk that reaches one of its systems through a link only."""
    settings = replace(Settings.of(platform.settings), gate_policy=str(POLICY))
    parts = urlsplit(_url(settings, dependency))
    assert parts.hostname is not None
    assert parts.port is not None
    async with FaultyLink(parts.hostname, parts.port).listening() as link:
        here = _rerouted(settings, dependency, link.address, folder)
        async with wiring.connect(replace(settings, **{dependency: here})) as desk:
            yield link, desk


def _url(settings: Settings, dependency: str) -> str:
    given: str = getattr(settings, dependency)
    if dependency != "kubeconfig":
        return given
    server: str = yaml.safe_load(Path(given).read_text(encoding="utf-8"))["clusters"][0]["cluster"]["server"]
    return server


def _rerouted(settings: Settings, dependency: str, address: str, folder: Path) -> str:
    """The setting that leads to the link instead."""
    url = _url(settings, dependency)
    here = url.replace(f"{urlsplit(url).hostname}:{urlsplit(url).port}", address)
    if dependency != "kubeconfig":
        return here
    kubeconfig = folder / "linked.yaml"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(Path(settings.kubeconfig).read_text(encoding="utf-8").replace(url, here))
    return str(kubeconfig)


async def _moved(place: Place, rollout_id: str) -> bool:
    rollout = await place.desk.ledger.rollouts.get(rollout_id)
    return rollout.weights.of(rollout.colour) == STEPS[0].weight
