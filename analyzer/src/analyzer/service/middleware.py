"""One ASGI layer around the application: request id, body limit, counting, security headers."""

from __future__ import annotations

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analyzer.service.lifecycle import Lifecycle
from analyzer.service.metrics import Metrics

_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class BodyTooLarge(HTTPException):
    """The client sent more than the limit. An HTTPException, since FastAPI makes any other a 400."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body may have at most {limit} bytes", {"Connection": "close"})


class Surroundings:
    """Wraps the application; a request passes it once, whatever becomes of it."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, lifecycle: Lifecycle, max_body: int) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else uuid.uuid4().hex
        status = 0

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            announced = headers.get("content-length", "")
            if announced.isdecimal() and int(announced) > self._max_body:
                raise BodyTooLarge(self._max_body)
            await self._app(scope, self._limited(receive), counted_send)
        except BodyTooLarge as error:
            if status:
                raise
            await JSONResponse({"detail": error.detail}, 413, error.headers)(scope, receive, counted_send)
        finally:
            self._count(scope, status or 500)

    def _limited(self, receive: Receive) -> Receive:
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_body:
                raise BodyTooLarge(self._max_body)
            return message

        return limited

    def _add_headers(self, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-Id"] = request_id
        for name, value in _SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        if self._lifecycle.draining:
            headers["Connection"] = "close"

    def _count(self, scope: Scope, status: int) -> None:
        route = scope.get("route")
        endpoint = getattr(route, "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, endpoint, str(status)).inc()
