"""metrics.k8s.io: the figures behind `kubectl top`, taken from the agents of the nodes."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from .calls import Call
from .errors import method_not_allowed, not_found
from .incoming import timestamp
from .listing import ListOptions
from .views import encode

JSON = dict[str, Any]

API_VERSION = "metrics.k8s.io/v1beta1"
WINDOW = "15s"


async def answer(call: Call) -> web.Response:
    """NodeMetrics or PodMetrics, one or a list. Raises 404 for what has no figures."""
    if call.verb not in ("get", "list"):
        raise method_not_allowed()
    found = await (_nodes(call) if call.resource.plural == "nodes" else _pods(call))
    if call.name:
        one = next((item for item in found if item["metadata"]["name"] == call.name), None)
        if one is None:
            raise not_found("metrics.k8s.io", call.resource.plural, call.name)
        return call.respond(encode({"kind": call.resource.kind, "apiVersion": API_VERSION, **one}))
    selector = ListOptions.read(call.query, call.resource)
    items = [item for item in found if selector.selects(item)]
    kind = f"{call.resource.kind}List"
    return call.respond(encode({"kind": kind, "apiVersion": API_VERSION, "metadata": {}, "items": items}))


async def _nodes(call: Call) -> list[JSON]:
    items = []
    for stored in call.state.store.bucket("nodes").ordered(None):
        figures = await call.state.agents.stats(stored.name)
        node = figures.get("node") or _sum(figures)
        items.append(_item(call, stored.document, {"usage": _usage(node)}))
    return items


async def _pods(call: Call) -> list[JSON]:
    store = call.state.store
    items = []
    for node in store.bucket("nodes").ordered(None):
        figures = await call.state.agents.stats(node.name)
        for pod in figures.get("pods") or []:
            stored = store.get("pods", pod["namespace"], pod["name"])
            if stored is None or (call.namespace and pod["namespace"] != call.namespace):
                continue
            containers = [{"name": one["name"], "usage": _usage(one)} for one in pod.get("containers") or []]
            items.append(_item(call, stored.document, {"containers": containers}))
    return sorted(items, key=lambda one: (one["metadata"].get("namespace", ""), one["metadata"]["name"]))


def _item(call: Call, document: JSON, figures: JSON) -> JSON:
    now = timestamp(call.state.now())
    source = document["metadata"]
    metadata = {name: source[name] for name in ("name", "namespace", "labels") if name in source}
    metadata["creationTimestamp"] = now
    return {"metadata": metadata, "timestamp": now, "window": WINDOW, **figures}


def _sum(figures: JSON) -> JSON:
    containers = [one for pod in figures.get("pods") or [] for one in pod.get("containers") or []]
    return {
        "cpuNanoCores": sum(one.get("cpuNanoCores", 0) for one in containers),
        "workingSetBytes": sum(one.get("workingSetBytes", 0) for one in containers),
    }


def _usage(figures: JSON) -> JSON:
    memory = int(figures.get("workingSetBytes", 0)) // 1024
    return {"cpu": f"{int(figures.get('cpuNanoCores', 0))}n", "memory": f"{memory}Ki"}
