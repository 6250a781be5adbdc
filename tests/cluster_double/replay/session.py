"""The whole replay: both recorded control planes, in parts that each have a double of their own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import aiohttp

from local_platform.node.addresses import share_of

from .connection import Connection
from .correspondence import Correspondence
from .double import Double
from .guard import guarded
from .kubelets import ScriptedKubelet, recorded_image
from .recordings import Scenario, decoded, generated_tokens, load
from .runner import Outcome, Replay
from .scope import OUT_OF_SCOPE, PART_BEGINS, RESTART_BEFORE
from .surroundings import NAMESPACES

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


@dataclass(frozen=True)
class Part:
    """Scenarios of one control plane that share a double; `before` are the plane's earlier ones."""

    name: str
    scenarios: tuple[Scenario, ...]
    before: tuple[Scenario, ...]
    tokens: Mapping[str, str]

    @property
    def has_node(self) -> bool:
        """Whether the recorded Pods ran under a kubelet."""
        return self.scenarios[0].control_plane == "main"

    def namespaces(self) -> list[str]:
        """Those that earlier scenarios had made and left."""
        found: dict[str, None] = {}
        for exchange in (one for scenario in self.before for one in scenario.exchanges):
            parent, _, name = exchange.path.rpartition("/")
            if exchange.method == "POST" and exchange.path == NAMESPACES and exchange.status == 201:
                found[decoded(exchange.response)["metadata"]["name"]] = None
            elif exchange.method == "DELETE" and parent == NAMESPACES and exchange.status == 200:
                found.pop(name, None)
        return list(found)


def parts() -> list[Part]:
    """All of the recordings."""
    found = []
    for plane in ("main", "etcd35"):
        scenarios = tuple(one for one in load() if one.control_plane == plane)
        begins = [n for n, one in enumerate(scenarios) if n == 0 or one.name in PART_BEGINS]
        tokens = recorded_tokens(scenarios)
        for begin, end in pairwise([*begins, len(scenarios)]):
            found.append(Part(f"{plane}-{begin}", scenarios[begin:end], scenarios[:begin], tokens))
    return found


async def replay_all(
    folder: Path, *, only: str = "", report: Callable[[Outcome], None] = lambda _: None
) -> dict[str, Outcome]:
    """Replays everything; `only` is a pattern of names (state may then be missing)."""
    wanted = [part for part in parts() if any(re.search(only, one.name) for one in part.scenarios)]
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    with guarded(folder), recorded_image(folder) as registry:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_replay_part(part, home, registry, only, report))
                for part, home in zip(wanted, _homes(folder, wanted), strict=True)
            ]
    return {outcome.scenario: outcome for task in tasks for outcome in task.result()}


def _homes(folder: Path, wanted: Sequence[Part]) -> list[Path]:
    """A folder for each part's double; their nodes give out no address twice."""
    homes: list[Path] = []
    shares: set[int] = set()
    for part in wanted:
        named = (folder / f"{part.name}-{number}" for number in count())
        home = next(one for one in named if share_of(one / "node") not in shares)
        shares.add(share_of(home / "node"))
        homes.append(home)
    return homes


async def _replay_part(
    part: Part, folder: Path, registry: str, only: str, report: Callable[[Outcome], None]
) -> list[Outcome]:
    async with AsyncExitStack() as stack:
        double = Double(folder)
        stack.push_async_callback(double.stop)
        # The recording itself creates the CustomResourceDefinition.
        await double.start_server("--without-gateway-api")
        if part.has_node:
            await double.start_node(NODE, registry)
            await _node_ready(double)
        else:
            arguments = ["-m", "local_platform.cluster.controllers", "--kubeconfig", str(double.kubeconfig())]
            await double.start_component("controllers", arguments)
            script = asyncio.create_task(ScriptedKubelet(double.url, double.token).run())
            stack.push_async_callback(_cancelled, script)
        known = Correspondence(part.tokens)
        connection = await stack.enter_async_context(Connection(double.url, double.token))
        replay = Replay(connection, known, NODE)
        await replay.surroundings.prepare(part.namespaces())
        return [
            await _one(replay, double, scenario, report)
            for scenario in part.scenarios
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
