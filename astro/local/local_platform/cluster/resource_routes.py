"""Which function answers a request for a resource; the reading verbs stand here: get, list, watch."""

from __future__ import annotations

import asyncio

from aiohttp import web

from . import metrics, resource_writes, reviews, subresources
from .calls import Call
from .errors import StatusError, method_not_allowed
from .listing import ListOptions, list_page
from .store import Stored
from .views import encode
from .watch import Bookmark, Watch


async def answer(call: Call) -> web.StreamResponse:
    if call.resource.group == "metrics.k8s.io":
        return await metrics.answer(call)
    if call.resource.group in reviews.GROUPS and call.verb == "create":
        return await reviews.answer(call)
    if call.target.subresource:
        special = await subresources.answer(call)
        if special is not None:
            return special
    elif call.verb not in call.resource.verbs:
        raise method_not_allowed()
    if call.verb in ("update", "patch") and not call.name:
        raise method_not_allowed()
    if call.resource.kind == "Binding":
        return await subresources.bind(call, "")
    match call.verb:
        case "get":
            return call.respond(call.view().one(_live(call)))
        case "list":
            return await _list(call)
        case "watch":
            return await _watch(call)
        case "create":
            return await resource_writes.create(call)
        case "update":
            return await resource_writes.update(call)
        case "patch":
            return await resource_writes.patch(call)
        case "delete":
            return await resource_writes.delete(call)
        case "deletecollection":
            return await resource_writes.delete_collection(call)
    raise method_not_allowed()


def _live(call: Call) -> Stored:
    return call.state.registry.get(call.resource, call.namespace, call.name)


async def _list(call: Call) -> web.Response:
    options = ListOptions.read(call.query, call.resource)
    try:
        page = list_page(call.state.store, call.resource, call.scope, options)
    except StatusError as error:
        if error.code == 504:
            await asyncio.sleep(3)  # the server waits for the version to come before it gives up
        raise
    return call.respond(call.view().page(page))


async def _watch(call: Call) -> web.StreamResponse:
    query = dict(call.query)
    if call.target.legacy_watch and call.name:
        query["fieldSelector"] = f"metadata.name={call.name}"
    options = ListOptions.read(query, call.resource, watch=True)
    response = web.StreamResponse(
        headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
    )
    view = call.view()
    try:
        watch = Watch(call.state.store, call.resource, call.scope, options)
    except StatusError as error:
        if error.code != 410:
            raise
        await response.prepare(call.request)
        await response.write(encode({"type": "ERROR", "object": error.status()}) + b"\n")
        return response
    try:
        await response.prepare(call.request)
        async for item in watch:
            if isinstance(item, Bookmark):
                line = view.bookmark(item.revision, ends_initial_events=item.ends_initial_events)
            else:
                line = view.event(*item)
            await response.write(line)
    except ConnectionError:
        return response  # the watcher hung up
    finally:
        watch.close()
    return response
