"""Two hundred rollouts that wait, driven by one process: what it costs, and how late its decisions are.

Ledger, API server and Prometheus are the platform's own. Nothing runs in the pods: their objects are written
as a cluster would show them, and one exporter counts in the place of gateway and node. So 800 pods fit on a
small machine, and what is measured is the process that drives.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from delivery_faults import production
from delivery_objects import PODS, objects
from delivery_table import ENVIRONMENT, Options, Row, p95
from own_platform import OwnPlatform, own_platform

from platform_ops import wiring
from platform_ops.adapters.kube_api import KubeApi, object_path
from platform_ops.core.plan import Plan, Step
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour, Release, Target, Weights
from platform_ops.core.state import Phase, Rollout
from platform_ops.settings import Settings

ROLLOUTS = 200
SECONDS = 60
"""How long they are driven and looked at."""
RSS = 1024.0
DELAY = 2.0
DIGESTS = {Colour.BLUE: f"sha256:{'1' * 64}", Colour.GREEN: f"sha256:{'2' * 64}"}
AT_ONCE = 16
"""Requests to the API server that are under way while the objects are written."""


def measure(options: Options) -> list[Row]:
    with own_platform() as platform:
        platform.up("ledger", "objects")
        with _exporter(platform):
            platform.up("prometheus")
            ids = asyncio.run(_prepared(platform))
            found = _driven(platform, ids)
    return _rows(found)


def _rows(found: dict[str, Any]) -> list[Row]:
    late, added = p95(found["delays"]), found["rss_after"] - found["rss_before"]
    many = f"{ROLLOUTS} rollouts that wait in one process"
    per_second = len(found["delays"]) / found["seconds"]
    queries = found["queries"] / found["seconds"]
    return [
        Row(
            f"{many}: other processes that they use",
            f"{found['children']} ({found['driven']} of {ROLLOUTS} driven, {found['threads']} threads)",
            "0",
            found["children"] == 0 and found["driven"] == ROLLOUTS,
        ),
        Row(
            f"{many}: RSS added to that of one rollout",
            f"{added:.0f} MiB (peak; {found['rss_before']:.0f} MiB before)",
            f"at most {RSS:g} MiB",
            added <= RSS,
        ),
        Row(
            f"{many}: p95 of the delay of {len(found['delays'])} decisions",
            f"{late:.2f} s; {per_second:.0f} decisions and {queries:.1f} queries a second,"
            f" {found['cpu'] / found['seconds']:.0%} of a core,"
            f" {1000 * found['cpu'] / len(found['delays']):.0f} ms of CPU a decision",
            f"at most {DELAY:g} s",
            late <= DELAY,
        ),
    ]


# -------------------------------------------------------------------- the world
@contextmanager
def _exporter(platform: OwnPlatform) -> Iterator[None]:
    """It answers at the ports where Prometheus looks for the gateway's counters and the node's."""
    ports = [str(platform.supervisor.platform.ports[name]) for name in ("gateway-admin", "node")]
    words = [sys.executable, str(Path(__file__).with_name("delivery_exporter.py")), str(ROLLOUTS), *ports]
    process = subprocess.Popen(words)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


async def _prepared(platform: OwnPlatform) -> list[str]:
    """The objects of every service, and its rollout at 25 %; the ids of the rollouts."""
    targets = [target_of(number) for number in range(ROLLOUTS)]
    kube = KubeApi(platform.kubeconfig())
    gate = asyncio.Semaphore(AT_ONCE)
    try:
        await asyncio.gather(*(_written(kube, gate, target) for target in targets))
    finally:
        await kube.aclose()
    async with wiring.connect(Settings.of(platform.settings)) as desk:
        steps = (Step(25, timedelta(hours=2)), Step(100, timedelta(0)))
        plan = replace(production(), steps=steps, replicas=PODS)
        rollouts = [_rollout(target, plan, desk.clock.now()) for target in targets]
        for rollout in rollouts:
            await desk.ledger.rollouts.insert(rollout, _opened(rollout))
    return [rollout.id for rollout in rollouts]


async def _written(kube: KubeApi, gate: asyncio.Semaphore, target: Target) -> None:
    """Owners first: what they own names their uid."""
    uids: dict[str, str] = {}
    async with gate:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": target.namespace}}
        await kube.request(target.context, "POST", "/api/v1/namespaces", body=namespace)
        for one in objects(target, DIGESTS, uids):
            collection = object_path(one["apiVersion"], one["kind"], target.namespace)
            made = await kube.request(target.context, "POST", collection, body=one)
            name = made["metadata"]["name"]
            uids[f"{one['kind']} {name}"] = made["metadata"]["uid"]
            if "status" in one:
                status = f"{collection}/{name}/status"
                await kube.patch(target.context, status, {"status": one["status"]})


def _rollout(target: Target, plan: Plan, now: datetime) -> Rollout:
    """At its first step, seen in real responses, with two hours to go."""
    return Rollout(
        id=str(uuid.uuid4()),
        dag_id=f"promote_{target.service}_{target.environment}",
        run_id="bench",
        promotion_id=None,
        target=target,
        release=Release(target.service, "2.0.0", "2" * 40, DIGESTS[Colour.GREEN]),
        colour=Colour.GREEN,
        previous_digest=DIGESTS[Colour.BLUE],
        plan=plan,
        goal=Phase.PROMOTED,
        requested_by="bench",
        log_url="",
        created_at=now,
        phase=Phase.SHIFTING,
        weights=Weights.towards(Colour.GREEN, 25),
        moved_at=now,
        entered_at=now,
        shifted_at=now,
        since=now,
    )


def _opened(rollout: Rollout) -> Entry:
    return Entry(
        service=rollout.target.service,
        environment=rollout.target.environment,
        at=rollout.created_at,
        actor="bench",
        kind="note",
        what="Open",
        rollout_id=rollout.id,
    )


def target_of(number: int) -> Target:
    name = f"service-{number}"
    return Target(name, ENVIRONMENT, ENVIRONMENT, f"{name}-prod", f"https://{name}.example.com")


def _driven(platform: OwnPlatform, ids: list[str]) -> dict[str, Any]:
    """What the driving process measured of itself."""
    child = Path(__file__).with_name("delivery_many_child.py")
    done = platform.run(sys.executable, str(child), json.dumps(ids), str(SECONDS), seconds=SECONDS * 3 + 120)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
