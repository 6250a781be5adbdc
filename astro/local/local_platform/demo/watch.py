"""What the demonstration sees of production from outside, second by second, whatever platform-ops says of
itself."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import asdict, dataclass
from pathlib import Path
from time import time
from typing import Any

import httpx
import yaml

ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{name}"
DEPLOYMENT = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
COLOURS = ("blue", "green")


@dataclass(frozen=True)
class Weights:
    """Weights of a route at a time (Unix seconds), as the cluster stores them."""

    at: float
    blue: int
    green: int


class ClusterView:
    """Reads a few objects of the cluster with one context of a kubeconfig."""

    def __init__(self, kubeconfig: Path, context: str) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        chosen = _named(config["contexts"], context)["context"]
        cluster = _named(config["clusters"], chosen["cluster"])["cluster"]
        user = _named(config["users"], chosen["user"])["user"]
        authority = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._client = httpx.AsyncClient(
            base_url=cluster["server"], headers={"Authorization": f"Bearer {user['token']}"}, verify=authority
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def weights(self, namespace: str, service: str) -> Weights | None:
        """The weights of the service's route; None while there is no route."""
        route = await self._get(ROUTES.format(namespace=namespace, name=service))
        if route is None:
            return None
        found = dict.fromkeys(COLOURS, 0)
        for rule in route["spec"]["rules"]:
            if any(match.get("headers") for match in rule.get("matches", [])):
                continue
            for backend in rule.get("backendRefs", []):
                colour = backend["name"].rpartition("-")[2]
                found[colour] = backend.get("weight", 1)
        return Weights(round(time(), 2), found["blue"], found["green"])

    async def digest(self, namespace: str, service: str, colour: str) -> str | None:
        """The digest that the colour's Deployment runs."""
        deployment = await self._get(DEPLOYMENT.format(namespace=namespace, name=f"{service}-{colour}"))
        if deployment is None:
            return None
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        return str(image).rpartition("@")[2]

    async def _get(self, path: str) -> Any:
        answer = await self._client.get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        return answer.json()


async def record_weights(
    view: ClusterView, namespace: str, service: str, out: Path, stopping: asyncio.Event
) -> None:
    """Write a line for each change of the route's weights until `stopping` is set."""
    last: tuple[int, int] | None = None
    with out.open("a", encoding="utf-8", buffering=1) as lines:
        while not stopping.is_set():
            seen = await view.weights(namespace, service)
            if seen is not None and (seen.blue, seen.green) != last:
                last = (seen.blue, seen.green)
                lines.write(json.dumps(asdict(seen)) + "\n")
            try:
                async with asyncio.timeout(0.5):
                    await stopping.wait()
            except TimeoutError:
                continue


def read_weights(path: Path) -> list[Weights]:
    return [Weights(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)
