"""Subresources: status, scale, finalize, binding, eviction, token, and those that a node answers."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from . import bodies, deletion, managed_fields, pod_routes, resource_writes
from .calls import Call
from .errors import (
    StatusError,
    bad_request,
    conflict,
    invalid,
    method_not_allowed,
    not_found,
    unknown_resource,
)
from .incoming import timestamp
from .registry import Change
from .resources import Resource
from .schema import Schema
from .store import Stored
from .validation import Cause
from .views import encode

JSON = dict[str, Any]

SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_SHORTEST_TOKEN = 600
_AUDIENCE = "https://kubernetes.default.svc"


async def answer(call: Call) -> web.StreamResponse | None:
    """The subresource's answer; None when the plain GET of the object is the answer. Raises 404 and 405."""
    name = call.target.subresource
    declared = call.resource.subresource(name)
    if declared is None:
        raise unknown_resource()
    if call.verb not in declared.verbs:
        raise method_not_allowed()
    match name:
        case "status" | "ephemeralcontainers" | "resize":
            return await _part(call, name)
        case "finalize":
            return await resource_writes.update(call, name)
        case "scale":
            return await _scale(call)
        case "binding":
            return await bind(call, call.name)
        case "eviction":
            return await _evict(call)
        case "token":
            return await _token(call)
        case "log":
            return await pod_routes.log(call)
        case "exec" | "attach":
            return await pod_routes.stream(call)
        case "portforward":
            return await pod_routes.port_forward(call)
        case "proxy":
            return await pod_routes.proxy(call)
    raise unknown_resource()


async def _part(call: Call, name: str) -> web.Response | None:
    if call.verb == "get":
        return None
    if call.verb == "update":
        return await resource_writes.update(call, name)
    return await resource_writes.patch(call, name)


# scale


async def _scale(call: Call) -> web.Response:
    registry = call.state.registry
    if call.verb == "get":
        stored = registry.get(call.resource, call.namespace, call.name)
        return call.respond(encode(scale_of(call.resource, stored.document)))
    change = await _scale_change(call)

    def rescale(document: JSON) -> JSON:
        scale = change(scale_of(call.resource, document))
        sent = scale.get("metadata") or {}
        if sent.get("name", call.name) != call.name:
            raise bad_request(
                f"the name of the object ({sent['name']}) does not match the name on the URL ({call.name})"
            )
        metadata = {**document["metadata"]}
        if sent.get("resourceVersion"):
            metadata["resourceVersion"] = sent["resourceVersion"]
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        return {**document, "metadata": metadata, "spec": {**document["spec"], "replicas": replicas}}

    stored = registry.patch(call.resource, call.namespace, call.name, rescale, call.options, "scale")
    return call.respond(encode(scale_of(call.resource, stored.document)))


async def _scale_change(call: Call) -> Change:
    body = await call.body()
    if call.verb == "update":
        wanted = bodies.decode_object(body, call.content_type, "Scale")
        return lambda _: wanted
    media = call.content_type.partition(";")[0].strip()
    schema = Schema.for_kind(("autoscaling", "v1", "Scale"))
    return resource_writes.json_change(media, body, schema, custom=False)


def scale_of(resource: Resource, document: JSON) -> JSON:
    """The autoscaling/v1 Scale of a workload."""
    metadata = document["metadata"]
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    spec, status = document.get("spec") or {}, document.get("status") or {}
    replicas = spec.get("replicas", 0)
    seen: JSON = {"replicas": status.get("replicas", 0)}
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    if labels:
        seen["selector"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in shown if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": seen,
    }


# binding and eviction


async def bind(call: Call, name: str) -> web.Response:
    """Assign a pod to a node. Raises 409 when it has one or goes away."""
    body = await call.body()
    binding = bodies.decode_object(body, call.content_type, "Binding")
    name = name or (binding.get("metadata") or {}).get("name", "")
    node = (binding.get("target") or {}).get("name", "")
    stored = call.state.store.get("pods", call.namespace, name)
    if stored is None:
        raise not_found("", "pods", name)
    document = stored.copy()
    if document["metadata"].get("deletionTimestamp"):
        raise conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    spec = document["spec"]
    if spec.get("nodeName"):
        raise conflict(
            "", "pods/binding", name, f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        )
    spec["nodeName"] = node
    status = document.setdefault("status", {})
    conditions = [one for one in status.get("conditions") or [] if one["type"] != "PodScheduled"]
    scheduled: JSON = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    if document["metadata"].get("generation"):
        scheduled["observedGeneration"] = document["metadata"]["generation"]
    scheduled["lastTransitionTime"] = timestamp(call.state.now())
    status["conditions"] = [*conditions, scheduled]
    if not call.options.dry_run:
        call.state.store.put("pods", document)
    return call.respond(encode(SUCCESS), 201)


async def _evict(call: Call) -> web.Response:
    body = await call.body()
    eviction = bodies.decode_object(body, call.content_type, "Eviction")
    wanted = deletion.DeleteOptions.read(eviction.get("deleteOptions") or {}, call.query)
    _check_budgets(call)
    deletion.delete(call.state.registry, call.resource, call.namespace, call.name, wanted, call.options)
    return call.respond(encode(SUCCESS), 201)


def _check_budgets(call: Call) -> None:
    """Raises 429 when a PodDisruptionBudget with a known status allows no disruption now."""
    pod = call.state.registry.get(call.resource, call.namespace, call.name).document
    labels = pod["metadata"].get("labels") or {}
    for stored in call.state.store.bucket("policy/poddisruptionbudgets").ordered(call.namespace):
        wanted = ((stored.document["spec"].get("selector") or {}).get("matchLabels")) or {}
        allowed = (stored.document.get("status") or {}).get("disruptionsAllowed")
        if wanted and allowed == 0 and all(labels.get(key) == value for key, value in wanted.items()):
            message = "Cannot evict pod as it would violate the pod's disruption budget."
            raise StatusError(429, "TooManyRequests", message, {})


# tokens


async def _token(call: Call) -> web.Response:
    body = await call.body()
    request = bodies.decode_object(body, call.content_type, "TokenRequest")
    account: Stored = call.state.registry.get(call.resource, call.namespace, call.name)
    spec = request.get("spec") or {}
    seconds = int(spec.get("expirationSeconds") or 3600)
    if seconds < _SHORTEST_TOKEN:
        message = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        cause = Cause("FieldValueInvalid", message, "spec.expirationSeconds")
        raise invalid("authentication.k8s.io", "TokenRequest", "", [cause])
    audiences = spec.get("audiences") or [_AUDIENCE]
    metadata = account.document["metadata"]
    now = call.state.now()
    token = call.state.accounts.issue(call.namespace, call.name, metadata["uid"], now, seconds, audiences)
    answered: JSON = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": call.name,
            "namespace": call.namespace,
            "uid": metadata["uid"],
            "creationTimestamp": timestamp(now),
        },
        "spec": {"audiences": audiences, "expirationSeconds": seconds},
    }
    entries = managed_fields.track(
        None,
        {**answered, "spec": {**spec, "expirationSeconds": seconds}},
        manager=call.options.manager,
        now=timestamp(now),
        schema=Schema.for_kind(("authentication.k8s.io", "v1", "TokenRequest")),
        subresource="token",
    )
    answered["metadata"]["managedFields"] = entries
    expiry = call.state.accounts.expiry(now, seconds)
    answered["status"] = {"token": token, "expirationTimestamp": timestamp(expiry)}
    return call.respond(encode(answered), 201)
