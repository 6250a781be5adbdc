"""Logs, exec, attach, port-forward and proxy: what is answered by the node that runs the pod."""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp import web

from .calls import Call
from .errors import StatusError, bad_request
from .listing import truth
from .node_agents import relay

JSON = dict[str, Any]

CHANNEL_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
FORWARD_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_LOG_NUMBERS = ("tailLines", "sinceSeconds", "limitBytes")


async def log(call: Call) -> web.StreamResponse:
    """The log of a container; 204 while the pod has no node, as the server does."""
    pod = _pod(call)
    container = _container(call, pod)
    query = _log_query(call)
    node = (pod.get("spec") or {}).get("nodeName")
    if not node:
        return web.Response(status=204)
    path = f"/containerLogs/{call.namespace}/{call.name}/{container}"
    source = await call.state.agents.get(node, path, query)
    response = web.StreamResponse(
        headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"}
    )
    try:
        await response.prepare(call.request)
        async for chunk in source.content.iter_any():
            await response.write(chunk)
    except (ConnectionError, aiohttp.ClientPayloadError):
        return response  # the reader or the node hung up
    finally:
        source.close()
    return response


def _log_query(call: Call) -> dict[str, str]:
    query: dict[str, str] = {}
    for name in _LOG_NUMBERS:
        text = call.query.get(name)
        if text is None:
            continue
        if not text.isdigit():
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        query[name] = text
    for name in ("follow", "timestamps", "previous"):
        if truth(call.query.get(name)):
            query[name] = "true"
    if call.query.get("sinceTime"):
        query["sinceTime"] = call.query["sinceTime"]
    return query


async def stream(call: Call) -> web.StreamResponse:
    """exec and attach."""
    pod = _pod(call)
    kind = call.target.subresource
    container = _container(call, pod)
    node = _node(call, pod)
    if kind == "exec" and not call.request.query.getall("command", []):
        raise bad_request("you must specify at least 1 command for the container")
    if not any(truth(call.query.get(name)) for name in ("stdin", "stdout", "stderr")):
        raise bad_request("you must specify at least one of stdin, stdout, stderr")
    query = [("command", value) for value in call.request.query.getall("command", [])]
    query += [(name, "true") for name in ("stdin", "stdout", "stderr", "tty") if truth(call.query.get(name))]
    path = f"/{kind}/{call.namespace}/{call.name}/{container}"
    return await _tunnel(call, node, path, query, CHANNEL_PROTOCOLS)


async def port_forward(call: Call) -> web.StreamResponse:
    pod = _pod(call)
    node = _node(call, pod)
    path = f"/portForward/{call.namespace}/{call.name}"
    return await _tunnel(call, node, path, [], (FORWARD_PROTOCOL,))


async def _tunnel(
    call: Call, node: str, path: str, query: list[tuple[str, str]], protocols: tuple[str, ...]
) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=0, autoping=True, compress=False)
    if not socket.can_prepare(call.request).ok:
        raise bad_request("Upgrade request required")
    agent = await call.state.agents.connect(node, path, query, protocols[0])
    try:
        await socket.prepare(call.request)
        await relay(socket, agent)
    finally:
        await agent.close()
    return socket


async def proxy(call: Call) -> web.StreamResponse:
    """HTTP to a pod, a service or a node's agent, by way of the API server."""
    name, _, port = call.name.removeprefix("http:").partition(":")
    if call.resource.kind == "Node":
        return await call.state.agents.forward(
            call.request, f"{call.state.agents.url(name)}/{call.target.rest}", authorized=True
        )
    stored = call.state.registry.get(call.resource, call.namespace, name)
    if call.resource.kind == "Service":
        host, number = _endpoint(call, stored.document, port)
    else:
        host, number = _pod_address(stored.document, port)
    return await call.state.agents.forward(call.request, f"http://{host}:{number}/{call.target.rest}")


def _pod_address(pod: JSON, port: str) -> tuple[str, str]:
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        raise bad_request("address not allowed")
    ports = [one for container in pod["spec"]["containers"] for one in container.get("ports") or []]
    if not port:
        port = str(ports[0]["containerPort"]) if ports else "80"
    named = {one.get("name"): str(one["containerPort"]) for one in ports}
    return address, named.get(port, port)


def _endpoint(call: Call, service: JSON, port: str) -> tuple[str, str]:
    """A ready endpoint of the service's port, given by name or number."""
    ports = service["spec"].get("ports") or []
    wanted = next((one for one in ports if port in (one.get("name"), str(one["port"]))), None)
    if wanted is None and not port and len(ports) == 1:
        wanted = ports[0]
    bucket = call.state.store.bucket("discovery.k8s.io/endpointslices")
    for stored in bucket.ordered(call.namespace):
        labels = stored.document["metadata"].get("labels") or {}
        if wanted is None or labels.get("kubernetes.io/service-name") != service["metadata"]["name"]:
            continue
        numbers = {one.get("name") or "": one.get("port") for one in stored.document.get("ports") or []}
        number = numbers.get(wanted.get("name") or "")
        for endpoint in stored.document.get("endpoints") or []:
            if number and (endpoint.get("conditions") or {}).get("ready", True):
                return endpoint["addresses"][0], str(number)
    message = f'no endpoints available for service "{call.name}"'
    raise StatusError(503, "ServiceUnavailable", message)


def _pod(call: Call) -> JSON:
    return call.state.registry.get(call.resource, call.namespace, call.name).document


def _node(call: Call, pod: JSON) -> str:
    node: str = (pod.get("spec") or {}).get("nodeName") or ""
    if not node:
        raise bad_request(f"pod {call.name} does not have a host assigned")
    return node


def _container(call: Call, pod: JSON) -> str:
    spec = pod["spec"]
    names: list[str] = [one["name"] for one in spec["containers"]]
    hidden = [one["name"] for one in spec.get("initContainers") or []]
    hidden += [one["name"] for one in spec.get("ephemeralContainers") or []]
    wanted = call.query.get("container")
    if wanted:
        if wanted not in names and wanted not in hidden:
            raise bad_request(f"container {wanted} is not valid for pod {call.name}")
        return wanted
    if len(names) == 1:
        return names[0]
    choices = f"a container name must be specified for pod {call.name}, choose one of: [{' '.join(names)}]"
    if spec.get("initContainers"):
        inits = " ".join(one["name"] for one in spec["initContainers"])
        choices += f" or one of the init containers: [{inits}]"
    raise bad_request(choices)
