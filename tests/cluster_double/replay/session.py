"""The whole replay: both recorded control planes, each against a double of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from .correspondence import Correspondence
from .double import Double
from .guard import guarded
from .kubelets import ScriptedKubelet, recorded_image
from .recordings import Scenario, decoded, generated_tokens, load
from .runner import Outcome, Replay
from .scope import OUT_OF_SCOPE, RESTART_BEFORE

NODE = "node2"
LISTED_NODE = "node1"
NODE_READY_SECONDS = 60.0


def recorded_tokens(scenarios: Sequence[Scenario]) -> dict[str, str]:
    """Every generated name of a control plane's recording."""
    tokens: dict[str, str] = {}
    for scenario in scenarios:
        for exchange in scenario.exchanges:
            tokens |= generated_tokens(decoded(exchange.response))
            tokens |= generated_tokens(list(exchange.events))
    return tokens


async def replay_all(
    folder: Path, *, only: str = "", report: Callable[[Outcome], None] = lambda _: None
) -> dict[str, Outcome]:
    """Replays everything in recorded order; `only` is a pattern of names (state may then be missing)."""
    outcomes: dict[str, Outcome] = {}
    with guarded(folder):
        for plane in ("main", "etcd35"):
            scenarios = [one for one in load() if one.control_plane == plane]
            if any(re.search(only, one.name) for one in scenarios):
                for outcome in await _replay_plane(plane, scenarios, folder / plane, only, report):
                    outcomes[outcome.scenario] = outcome
    return outcomes


async def _replay_plane(
    plane: str, scenarios: Sequence[Scenario], folder: Path, only: str, report: Callable[[Outcome], None]
) -> list[Outcome]:
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        double = Double(folder)
        stack.push_async_callback(double.stop)
        # The recording itself creates the CustomResourceDefinition.
        await double.start_server("--without-gateway-api")
        if plane == "main":
            await double.start_node(NODE, stack.enter_context(recorded_image(folder)))
            await _node_ready(double)
        else:
            arguments = ["-m", "local_platform.cluster.controllers", "--kubeconfig", str(double.kubeconfig())]
            await double.start_component("controllers", arguments)
            script = asyncio.create_task(ScriptedKubelet(double.url, double.token).run())
            stack.push_async_callback(_cancelled, script)
        known = Correspondence(recorded_tokens(scenarios))
        replay = await stack.enter_async_context(Replay(double.url, double.token, known, NODE))
        return [
            await _one(replay, double, scenario, report)
            for scenario in scenarios
            if re.search(only, scenario.name) and scenario.name not in OUT_OF_SCOPE
        ]


async def _one(
    replay: Replay, double: Double, scenario: Scenario, report: Callable[[Outcome], None]
) -> Outcome:
    if scenario.name in RESTART_BEFORE:
        await replay.before_restart(scenario)
        await double.restart_server()
    outcome = await replay.scenario(scenario)
    report(outcome)
    return outcome


async def _node_ready(double: Double) -> None:
    """Waits for the node; creates the second one, which the recording only lists."""
    headers = {"Authorization": f"Bearer {double.token}"}
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.timeout(NODE_READY_SECONDS):
        while True:
            async with session.get(f"{double.url}/api/v1/nodes/{NODE}") as response:
                node = await response.json()
                found = response.status == 200
            conditions = ((node.get("status") or {}).get("conditions") or ()) if found else ()
            if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
                break
            await asyncio.sleep(0.1)
        await _create_listed_node(session, double.url, node)


async def _create_listed_node(session: aiohttp.ClientSession, url: str, like: Mapping[str, Any]) -> None:
    """`node1` of the recording: it ran none of the recorded Pods and shows up in lists only."""
    labels = {key: value for key, value in like["metadata"]["labels"].items() if key != "real"}
    labels["kubernetes.io/hostname"] = LISTED_NODE
    taint = {"key": "listed", "value": "only", "effect": "NoSchedule"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": LISTED_NODE, "labels": labels}}
    async with session.post(f"{url}/api/v1/nodes", json={**node, "spec": {"taints": [taint]}}) as created:
        created.raise_for_status()
    headers = {"Content-Type": "application/merge-patch+json"}
    status = {"status": like["status"]}
    async with session.patch(
        f"{url}/api/v1/nodes/{LISTED_NODE}/status", json=status, headers=headers
    ) as patched:
        patched.raise_for_status()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
