"""The writing verbs on resources: create, update, patch, apply, delete, deletecollection."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from . import bodies, bootstrap, definitions, deletion, patching
from .calls import Call
from .errors import StatusError, bad_request, invalid, method_not_allowed, unsupported_patch_type
from .listing import ListOptions, Page, list_page
from .registry import Change
from .schema import Schema, TypeSchema
from .store import Stored
from .validation import Cause
from .views import encode

JSON = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = ("application/apply-patch+yaml", "application/apply-patch+cbor")


async def create(call: Call) -> web.Response:
    body = await call.body()
    document = bodies.decode_object(body, call.content_type, call.resource.kind)
    options = call.options
    options.duplicates = bodies.duplicate_fields(document)
    if call.name:
        raise method_not_allowed()
    namespace = call.namespace
    if call.resource.namespaced and not namespace:
        raise bad_request("an empty namespace may not be set during creation")
    stored = call.state.registry.create(call.resource, namespace, document, options)
    await _after_write(call, stored)
    return call.respond(call.view().one(stored), 201)


async def update(call: Call, subresource: str = "") -> web.Response:
    body = await call.body()
    document = bodies.decode_object(body, call.content_type, call.resource.kind)
    options = call.options
    options.duplicates = bodies.duplicate_fields(document)
    existed = call.state.store.get(call.resource.bucket, call.namespace, call.name) is not None
    stored = call.state.registry.update(
        call.resource, call.namespace, call.name, document, options, subresource
    )
    await _after_write(call, stored)
    return call.respond(call.view().one(stored), 200 if existed else 201)


async def patch(call: Call, subresource: str = "") -> web.Response:
    media = call.content_type.partition(";")[0].strip()
    body = await call.body()
    if media in APPLY_PATCH:
        return await _apply(call, body, subresource)
    change = _change(call, media, body)
    shown = bodies.decode_patch(body) if media == STRATEGIC_PATCH else None
    stored = call.state.registry.patch(
        call.resource, call.namespace, call.name, change, call.options, subresource, shown
    )
    await _after_write(call, stored)
    return call.respond(call.view().one(stored))


def _change(call: Call, media: str, body: bytes) -> Change:
    return json_change(
        media, body, Schema.for_kind(call.resource.gvk), custom=call.resource.custom is not None
    )


def json_change(media: str, body: bytes, schema: TypeSchema | None, *, custom: bool) -> Change:
    """What a JSON, merge or strategic merge patch does to an object. Raises 400 and 415."""
    if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        raise unsupported_patch_type()
    if media == STRATEGIC_PATCH and custom:
        raise StatusError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH[0]}",
        )
    wanted = bodies.decode_patch(body)

    def change(document: JSON) -> JSON:
        try:
            if media == JSON_PATCH:
                return patching.json_patch(document, wanted)
            if media == MERGE_PATCH:
                return patching.merge_patch(document, wanted)
            return patching.strategic_merge_patch(document, wanted, schema)
        except patching.PatchError as error:
            details: JSON | None = {} if error.status == 422 else None
            raise StatusError(error.status, error.reason, error.message, details) from error

    return change


async def _apply(call: Call, body: bytes, subresource: str) -> web.Response:
    document = bodies.decode_applied(body)
    if not call.query.get("fieldManager"):
        cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
        raise invalid("meta.k8s.io", "PatchOptions", "", [cause])
    stored, created = call.state.registry.server_side_apply(
        call.resource, call.namespace, call.name, document, call.options, subresource
    )
    await _after_write(call, stored)
    return call.respond(call.view().one(stored), 201 if created else 200)


async def delete(call: Call) -> web.Response:
    wanted = deletion.DeleteOptions.read(await _delete_body(call), call.query)
    state = call.state
    if call.resource.kind == "Job" and wanted.policy is None:
        call.options.warnings.append(deletion.JOB_WARNING)
    stored, shows_object = deletion.delete(
        state.registry, call.resource, call.namespace, call.name, wanted, call.options
    )
    if not wanted.dry_run:
        _after_delete(call, stored)
    if shows_object:
        return call.respond(call.view().one(stored))
    return call.respond(encode(deletion.deletion_status(call.resource, stored)))


def _after_delete(call: Call, stored: Stored) -> None:
    state = call.state
    gone = state.store.get(call.resource.bucket, stored.namespace, stored.name) is None
    if gone and call.resource.kind == "CustomResourceDefinition":
        definitions.withdraw(state, stored.document)
    if gone and stored.name in bootstrap.IN_EVERY_NAMESPACE.get(call.resource.plural, ()):
        bootstrap.restore_namespace(state, stored.namespace)
    if gone and call.resource.kind == "Service":
        state.registry.admission.stored(call.resource, stored.namespace)


async def _delete_body(call: Call) -> JSON:
    body = await call.body()
    if not body.strip():
        return {}
    return bodies.decode_object(body, call.content_type, "DeleteOptions")


async def delete_collection(call: Call) -> web.Response:
    body = await _delete_body(call)
    wanted = deletion.DeleteOptions.read(body, call.query)
    options = ListOptions.read(call.query, call.resource)
    page = list_page(call.state.store, call.resource, call.scope, options)
    gone: list[Stored] = []
    for item in page.items:
        stored, _ = deletion.delete(
            call.state.registry, call.resource, item.namespace, item.name, wanted, call.options
        )
        if not wanted.dry_run:
            _after_delete(call, stored)
        gone.append(stored)
    answer_page = Page(gone, page.revision, page.continue_token, page.remaining)
    return call.respond(call.view().page(answer_page))


async def _after_write(call: Call, stored: Stored) -> None:
    if call.options.dry_run:
        return
    # Also after an apply, which creates by PATCH; what is there already stays as it is.
    if call.resource.kind == "Namespace" and "deletionTimestamp" not in stored.document["metadata"]:
        bootstrap.complete_namespace(call.state, stored.name)
    if call.resource.kind == "CustomResourceDefinition":
        if call.verb == "create":
            call.state.start(definitions.establish_in_steps(call.state, stored.name))
        else:
            definitions.establish(call.state, stored.name)
