"""`make bench-platform`: the issue's figures, measured on a platform of their own that is gone afterwards.

python tests/platform/bench_platform.py
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

from own_platform import OwnPlatform, own_platform
from releasing import POLICY, SERVICE, Place, until

from local_platform.bench import measure as parts_table
from local_platform.bench import pss_mib
from local_platform.benches import cluster, gateway
from local_platform.cluster_access import ClusterAccess
from platform_ops import wiring
from platform_ops.core.plan import Step
from platform_ops.core.state import Phase
from platform_ops.settings import Settings

HOLDERS = ("standby-1", "standby-2")
STEPS = (Step(25, timedelta(minutes=10)), Step(100, timedelta(0)))
"""The rollout stays at its first step for as long as holders are killed."""

TAKEOVERS = 3


def main() -> int:
    rows: list[tuple[str, str, str]] = []
    with own_platform() as platform, tempfile.TemporaryDirectory() as folder:
        began = monotonic()
        platform.up()
        rows.append(("everything up", f"{monotonic() - began:.1f} s", ""))
        sleep(20)
        rows.append(
            ("PSS of all parts, no pods of services", f"{_pss(platform):.0f} MiB", "at most 3072 MiB")
        )
        print(parts_table(platform.supervisor, 10.0), end="\n\n")
        for part in (
            "airflow-scheduler",
            "airflow-dag-processor",
            "airflow-triggerer",
            "airflow-api",
            "controller",
        ):
            platform.kill(part)
        rows.extend(asyncio.run(_released(platform, Path(folder))))
    width = max(len(name) for name, _, _ in rows)
    for name, figure, limit in rows:
        print(f"{name:{width}}  {figure:>44}  {limit}")
    return 0


async def _released(platform: OwnPlatform, folder: Path) -> list[tuple[str, str, str]]:
    """What needs a running release."""
    async with wiring.connect(replace(Settings.of(platform.settings), gate_policy=str(POLICY))) as desk:
        target = desk.catalog.target(SERVICE, "production")
        kubectl = ("kubectl", f"--kubeconfig={platform.kubeconfig()}", f"--namespace={target.namespace}")
        place = Place(desk, target, platform.url("gateway"), lambda *words: [*kubectl, *words], folder)
        _, colour = await place.serving()
        # The gateway shares requests out over all pods: with one pod both ways end in the same process.
        await desk.workloads.scale(target, colour, 1)
        await until("one pod is left", lambda: _one_pod(place))
        pods = json.loads(place.run_kubectl("get", "pods", "--output=json"))["items"]
        rows = await _cluster(platform, target.namespace, pods[0]["metadata"]["name"])
        address = f"http://{pods[0]['status']['podIP']}:8000"
        rows += await _gateway(place.gateway_url, urlsplit(target.url).netloc, address)
        await desk.workloads.scale(target, colour, 2)
        return rows + await _takeover(platform, place)


async def _one_pod(place: Place) -> bool:
    return len(place.run_kubectl("get", "pods", "--output=name").split()) == 1


async def _cluster(platform: OwnPlatform, namespace: str, pod: str) -> list[tuple[str, str, str]]:
    figures = await cluster.measure(ClusterAccess(platform.supervisor.platform), namespace, pod, 20.0)
    share = figures.gets_per_second / figures.floor_per_second
    return [
        (
            f"GETs of a pod, {figures.watches} watches open",
            f"{figures.gets_per_second:.0f}/s",
            "at least 300/s",
        ),
        (
            "the same client against a bare aiohttp server",
            f"{figures.floor_per_second:.0f}/s",
            f"{share:.0%} of it",
        ),
    ]


async def _gateway(url: str, host: str, pod: str) -> list[tuple[str, str, str]]:
    figures = await gateway.measure(url, host, pod, "/health", 1000)
    both = f"{figures.gateway_p95:.2f} ms, direct {figures.direct_p95:.2f} ms"
    return [
        (
            f"p95 through the gateway, {figures.pairs} pairs",
            both,
            f"adds {figures.added:.2f} ms, at most 2 ms",
        ),
        ("median of what it adds to a pair", f"{figures.median_added:.2f} ms", ""),
    ]


async def _takeover(platform: OwnPlatform, place: Place) -> list[tuple[str, str, str]]:
    """Two `ops controller` processes; the one that holds the rollout is killed."""
    rollout_id = await place.open(await place.built(), steps=STEPS)
    await place.desk.ledger.rollouts.raise_goal(rollout_id, Phase.PROMOTED)
    async with _holders(platform) as running:
        await until("the first step is watched", lambda: _watched(place, rollout_id))
        seconds = [await _until_taken_over(platform, place, rollout_id, running) for _ in range(TAKEOVERS)]
        await place.desk.controller.request_rollback(rollout_id, by="bench", why="measured")
        await until("it is rolled back", lambda: _rolled_back(place, rollout_id))
    words = ", ".join(f"{one:.1f} s" for one in seconds)
    return [("takeover after kill -9 of the holder", words, "at most 30 s")]


async def _until_taken_over(
    platform: OwnPlatform, place: Place, rollout_id: str, running: dict[str, subprocess.Popen[bytes]]
) -> float:
    """Seconds from the kill to the journal's or lease's next holder; the killed one is started again."""
    rollout = await place.desk.ledger.rollouts.get(rollout_id)
    assert rollout.holder in running, f"{rollout.holder} holds the rollout"
    running[rollout.holder].kill()
    began = monotonic()

    async def taken() -> bool:
        return (await place.desk.ledger.rollouts.get(rollout_id)).token > rollout.token

    await until("somebody else holds it", taken)
    seconds = monotonic() - began
    running[rollout.holder].wait()
    running[rollout.holder] = _controller(platform, rollout.holder)
    return seconds


@asynccontextmanager
async def _holders(platform: OwnPlatform) -> AsyncIterator[dict[str, subprocess.Popen[bytes]]]:
    running = {name: _controller(platform, name) for name in HOLDERS}
    try:
        yield running
    finally:
        for process in running.values():
            process.terminate()
            process.wait(20)


def _controller(platform: OwnPlatform, holder: str) -> subprocess.Popen[bytes]:
    environment = {**platform.supervisor.platform.environment(), **platform.settings}
    ops = platform.supervisor.platform.layout.program("ops")
    with (platform.state / "logs" / f"{holder}.log").open("ab") as log:
        return subprocess.Popen(
            [ops, "controller", "--holder", holder], env=environment, stdout=log, stderr=log
        )


async def _watched(place: Place, rollout_id: str) -> bool:
    rollout = await place.desk.ledger.rollouts.get(rollout_id)
    return rollout.phase is Phase.SHIFTING and rollout.since is not None


async def _rolled_back(place: Place, rollout_id: str) -> bool:
    return (await place.desk.ledger.rollouts.get(rollout_id)).phase is Phase.ROLLED_BACK


def _pss(platform: OwnPlatform) -> float:
    """MiB, shared pages counted once."""
    parts = [one.part for one in platform.supervisor.status() if one.state != "down"]
    return sum(pss_mib(process) for part in parts for process in platform.supervisor.members(part))


if __name__ == "__main__":
    sys.exit(main())
