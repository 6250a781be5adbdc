"""Reviews: questions about who one is and what one may do, asked by POST and never stored."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from . import bodies, managed_fields
from .auth import User
from .calls import Call
from .errors import StatusError
from .incoming import timestamp
from .rbac import Attributes
from .schema import Schema
from .views import encode

JSON = dict[str, Any]

GROUPS = ("authentication.k8s.io", "authorization.k8s.io")


async def answer(call: Call) -> web.Response:
    body = await call.body()
    document = bodies.decode_object(body, call.content_type, call.resource.kind)
    spec = document.get("spec") or {}
    metadata: JSON = {}
    match call.resource.kind:
        case "SelfSubjectAccessReview":
            status = _access(call, call.user, spec)
        case "SubjectAccessReview" | "LocalSubjectAccessReview":
            status = _access(call, User(spec.get("user", ""), tuple(spec.get("groups") or ())), spec)
        case "SelfSubjectRulesReview":
            status = _rules(call, spec.get("namespace", ""))
        case "SelfSubjectReview":
            metadata["creationTimestamp"] = timestamp(call.state.now())
            status = {"userInfo": call.user.as_json()}
        case _:
            status = _token(call, spec.get("token", ""))
    answered: JSON = {
        "kind": call.resource.kind,
        "apiVersion": call.resource.api_version,
        "metadata": metadata,
    }
    if call.resource.kind != "SelfSubjectReview":
        answered["spec"] = spec
    if call.resource.kind == "SelfSubjectAccessReview":
        entries = managed_fields.track(
            None,
            answered,
            manager=call.options.manager,
            now=timestamp(call.state.now()),
            schema=Schema.for_kind(call.resource.gvk),
        )
        if entries:
            metadata["managedFields"] = entries
    elif call.resource.kind == "SelfSubjectRulesReview":
        answered["spec"] = {}
    answered["status"] = status
    return call.respond(encode(answered), 201)


def _access(call: Call, user: User, spec: JSON) -> JSON:
    path = spec.get("nonResourceAttributes")
    if path:
        wanted = Attributes(path.get("verb", ""), path=path.get("path", ""))
    else:
        asked = spec.get("resourceAttributes") or {}
        wanted = Attributes(
            verb=asked.get("verb", ""),
            group=asked.get("group", ""),
            resource=asked.get("resource", ""),
            subresource=asked.get("subresource", ""),
            namespace=asked.get("namespace", ""),
            name=asked.get("name", ""),
        )
    return {"allowed": call.state.authorizer.allows(user, wanted)}


def _rules(call: Call, namespace: str) -> JSON:
    kept = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
    authorizer = call.state.authorizer
    return {
        "resourceRules": [_only(rule, kept) for rule in authorizer.rules(call.user, namespace)],
        "nonResourceRules": [_only(rule, kept) for rule in authorizer.path_rules(call.user)],
        "incomplete": False,
    }


def _only(rule: JSON, names: tuple[str, ...]) -> JSON:
    return {name: rule[name] for name in names if rule.get(name)}


def _token(call: Call, token: str) -> JSON:
    try:
        user = call.state.authenticator.user(f"Bearer {token}", call.state.now())
    except StatusError:
        return {"user": {}, "error": "the token is not known to this server"}
    return {"authenticated": True, "user": user.as_json()}
