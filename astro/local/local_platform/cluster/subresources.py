"""Subresources: status, scale, and what only Pods have."""

from __future__ import annotations

from aiohttp import web

from . import resource_routes
from .calls import Call
from .errors import method_not_allowed, unknown_resource


async def answer(call: Call) -> web.StreamResponse | None:
    name = call.target.subresource
    declared = call.resource.subresource(name)
    if declared is None:
        raise unknown_resource()
    if call.verb not in declared.verbs:
        raise method_not_allowed()
    if name in ("status", "ephemeralcontainers", "resize"):
        if call.verb == "get":
            return None
        if call.verb == "update":
            return await resource_routes.update(call, name)
        return await resource_routes.patch(call, name)
    raise unknown_resource()


async def metrics(call: Call) -> web.StreamResponse:
    raise unknown_resource()
