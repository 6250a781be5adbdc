"""The HTTP application: who asks, what for, may they; then the route that answers."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import yaml
from aiohttp import web
from multidict import CIMultiDict

from . import discovery, openapi, paths, resource_routes
from .auth import Impersonation, User
from .calls import STATE, Call
from .errors import StatusError, forbidden, internal, unknown_resource
from .rbac import Attributes
from .state import ClusterState
from .views import Accepted, encode

log = logging.getLogger(__name__)

_VERBS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "GET": "get",
    "HEAD": "get",
}
DOCUMENTS: web.AppKey[openapi.OpenApi] = web.AppKey("documents", openapi.OpenApi)
_LARGEST_BODY = 3 * 1024 * 1024


def application(state: ClusterState) -> web.Application:
    app = web.Application(client_max_size=_LARGEST_BODY)
    app[STATE] = state
    app[DOCUMENTS] = openapi.OpenApi(state)
    app.router.add_route("*", "/{path:.*}", _answer)
    return app


async def _answer(request: web.Request) -> web.StreamResponse:
    try:
        return await _route(request)
    except StatusError as error:
        return status_response(error, request)
    except web.HTTPRequestEntityTooLarge:
        message = f"Request entity too large: limit is {_LARGEST_BODY}"
        return status_response(StatusError(413, "RequestEntityTooLarge", message), request)
    except (ConnectionError, web.HTTPException):
        raise
    except Exception as error:
        log.exception("%s %s", request.method, request.path_qs)
        return status_response(internal(f"{type(error).__name__}: {error}"), request)


def status_response(error: StatusError, request: web.Request) -> web.Response:
    body = encode(error.status())
    if request.headers.get("Accept", "").startswith("application/yaml"):
        text = yaml.safe_dump(error.status(), sort_keys=False)
        return web.Response(
            text=text, status=error.code, content_type="application/yaml", headers=error.headers
        )
    headers = CIMultiDict(error.headers)
    headers["Content-Type"] = "application/json"
    return web.Response(body=body, status=error.code, headers=headers)


async def _route(request: web.Request) -> web.StreamResponse:
    state = request.app[STATE]
    _check_host(state, request)
    user = _user(state, request)
    target = paths.parse(request.raw_path.partition("?")[0])
    if target is None:
        state.authorizer.check(user, Attributes(_VERBS.get(request.method, "get"), path=request.path))
        answer = discovery.answer(state, request) or openapi.answer(request.app[DOCUMENTS], request)
        return answer or web.Response(
            status=404, text="404 page not found\n", headers={"X-Content-Type-Options": "nosniff"}
        )
    if not state.resources.served(target.group, target.version):
        state.authorizer.check(user, Attributes(_VERBS.get(request.method, "get"), path=request.path))
        return web.Response(status=404, text="404 page not found\n")
    resource = state.resources.find(target.group, target.version, target.plural)
    if resource is None:
        raise unknown_resource()
    accepted = Accepted.read(request.headers.get("Accept", ""))
    call = Call(request, state, user, target, resource, accepted)
    state.authorizer.check(user, call.attributes)
    try:
        return await resource_routes.answer(call)
    except StatusError as error:
        return call.add_warnings(status_response(error, request))


def _check_host(state: ClusterState, request: web.Request) -> None:
    """Refuse names that are not ours: a web page could otherwise reach the server under a name of its own."""
    host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    if host not in state.settings.hosts:
        raise forbidden(
            f'the server is not known as "{host}"; ask it as {sorted(state.settings.hosts)[0]}', {}
        )


def _user(state: ClusterState, request: web.Request) -> User:
    user = state.authenticator.user(request.headers.get("Authorization", ""), state.now())
    wanted = Impersonation.read(request.headers)
    if wanted is None:
        return user
    for resource, names in (("users", (wanted.name,)), ("groups", wanted.groups)):
        for name in names:
            state.authorizer.check(user, Attributes("impersonate", "", resource, name=name))
    return wanted.user()
