"""One ASGI layer around the application: request id, body limit, counting, log, security headers."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analyzer.service.lifecycle import Lifecycle
from analyzer.service.logs import request_id as current_request_id
from analyzer.service.metrics import Metrics

log = logging.getLogger("analyzer.requests")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES = frozenset({"/health", "/liveness", "/readiness", "/metrics"})
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
}


class BodyTooLarge(HTTPException):
    """The client sent more than the limit. An HTTPException, since FastAPI makes any other a 400."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body may have at most {limit} bytes", {"Connection": "close"})


class Surroundings:
    """Wraps the application; a request passes it once, whatever becomes of it.

    `limits` has the bytes of a body by path, `*` those of any other path.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, lifecycle: Lifecycle, limits: Mapping[str, int]
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        current_request_id.set(request_id)
        limit = self._limits.get(scope["path"], self._limits["*"])
        status = 0

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            announced = headers.get("content-length", "")
            if announced.isdecimal() and int(announced) > limit:
                raise BodyTooLarge(limit)
            await self._app(scope, _limited(receive, limit), counted_send)
        except BodyTooLarge as error:
            if status:
                raise
            await JSONResponse({"detail": error.detail}, 413, error.headers)(scope, receive, counted_send)
        finally:
            self._count(scope, status or 500, time.perf_counter() - begin)

    def _add_headers(self, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-Id"] = request_id
        for name, value in _SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        if self._lifecycle.draining:
            headers["Connection"] = "close"

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's template: a path is written by the client and may hold anything.
        endpoint = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, endpoint, str(status)).inc()
        level = logging.DEBUG if endpoint in _PROBES and status < 400 else logging.INFO
        if log.isEnabledFor(level):
            fields = {"method": method, "endpoint": endpoint, "status": status, "seconds": round(seconds, 6)}
            log.log(level, "answered", extra={"fields": fields})


def _limited(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise BodyTooLarge(limit)
        return message

    return limited
