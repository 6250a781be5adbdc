"""One request for a resource, with everything that the routes ask about it."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import yaml
from aiohttp import web
from multidict import CIMultiDict

from .auth import User
from .errors import bad_request, invalid
from .incoming import Options
from .listing import truth
from .paths import Target
from .rbac import Attributes
from .resources import Resource
from .state import ClusterState
from .validation import Cause
from .views import Accepted, View

JSON = dict[str, Any]
STATE: web.AppKey[ClusterState] = web.AppKey("state", ClusterState)

DEPRECATED = {
    ("", "v1", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ("", "v1", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Call:
    def __init__(
        self,
        request: web.Request,
        state: ClusterState,
        user: User,
        target: Target,
        resource: Resource,
        accepted: Accepted,
    ) -> None:
        self.request = request
        self.state = state
        self.user = user
        self.target = target
        self.resource = resource
        self.accepted = accepted
        self.query = dict(request.query)

    @property
    def namespace(self) -> str:
        return self.target.namespace

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def scope(self) -> str | None:
        """The namespace that a list is about; None for all of them."""
        return self.namespace or None if self.resource.namespaced else None

    @cached_property
    def verb(self) -> str:
        """As authorisation names it."""
        method = self.request.method
        if method in ("GET", "HEAD"):
            if self.target.legacy_watch:
                return "watch"
            if self.target.name:
                return "get"
            return "watch" if truth(self.query.get("watch")) else "list"
        if method == "DELETE" and not self.target.name:
            return "deletecollection"
        return _VERBS.get(method, method.lower())

    @property
    def attributes(self) -> Attributes:
        target = self.target
        namespace = target.name if target.plural == "namespaces" and not target.group else target.namespace
        return Attributes(self.verb, target.group, target.plural, target.subresource, namespace, target.name)

    @property
    def content_type(self) -> str:
        return self.request.headers.get("Content-Type", "")

    @cached_property
    def options(self) -> Options:
        """Of a write. Raises 422 for a dryRun or fieldValidation that does not exist."""
        dry_run = self.request.query.getall("dryRun", [])
        if any(one != "All" for one in dry_run):
            message = f'Unsupported value: "{dry_run[0]}": supported values: "All"'
            raise _bad_option(self.verb, Cause("FieldValueNotSupported", message, "dryRun"))
        validation = self.query.get("fieldValidation") or "Warn"
        if validation not in ("Strict", "Warn", "Ignore"):
            message = f'Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
            raise _bad_option(self.verb, Cause("FieldValueNotSupported", message, "fieldValidation"))
        agent = self.request.headers.get("User-Agent", "")
        manager = self.query.get("fieldManager") or agent.partition("/")[0]
        return Options(
            manager=manager[:128],
            now=self.state.now(),
            dry_run=bool(dry_run),
            validation=validation,
            force=truth(self.query.get("force")),
        )

    def view(self) -> View:
        return View(self.resource, self.accepted, self.state.now(), self.query.get("includeObject", ""))

    def warnings(self) -> list[str]:
        """What the client should know: that the kind is deprecated, and what the write complained about."""
        deprecated = DEPRECATED.get(self.resource.gvk)
        found = [deprecated] if deprecated else []
        return found + (self.options.warnings if "options" in self.__dict__ else [])

    async def body(self) -> bytes:
        return await self.request.read()

    def respond(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
        """The answer with this request's warnings."""
        sent: CIMultiDict[str] = CIMultiDict(headers or {})
        if self.accepted.yaml:
            body = yaml.safe_dump(json.loads(body)).encode()
        sent["Content-Type"] = "application/yaml" if self.accepted.yaml else "application/json"
        return self.add_warnings(web.Response(body=body, status=status, headers=sent))

    def add_warnings(self, answer: web.Response) -> web.Response:
        """Warnings go with refusals as well: they were found before the request failed."""
        for text in self.warnings():
            quoted = text.replace("\\", "\\\\").replace('"', '\\"')
            answer.headers.add("Warning", f'299 - "{quoted}"')
        return answer


def _bad_option(verb: str, cause: Cause) -> Exception:
    kind = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}.get(verb)
    if kind is None:
        return bad_request(f"{cause.field}: {cause.message}")
    return invalid("meta.k8s.io", kind, "", [cause])
