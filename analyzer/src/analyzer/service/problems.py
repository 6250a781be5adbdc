"""Errors as answers, and the statuses that the OpenAPI document promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from analyzer.calibration.model import ModelError
from analyzer.calibration.rows import HostileRows
from analyzer.service import schemas
from analyzer.service.schemas import InvalidBody, Problem
from analyzer.service.workers import PoolFull
from analyzer.storage.records import Conflict, NotFound, StoreUnavailable

Responses: TypeAlias = dict[int | str, dict[str, Any]]

_RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_MODELS = [each for each in vars(schemas).values() if isinstance(each, type) and issubclass(each, BaseModel)]
_OUR_NAMES = frozenset(name for model in _MODELS for name in model.model_fields) | {
    "body", "path", "query", "header", "job_id", "key_id",
}  # fmt: skip
GUARDED: Responses = {
    401: {"model": Problem, "description": "X-API-KEY is missing, unknown, expired or revoked."},
    403: {"model": Problem, "description": "The key has not the scope."},
    429: {
        "model": Problem,
        "description": "Too much at once, or more than the key may send.",
        "headers": _RETRY,
    },
}
BODY: Responses = {
    400: {"model": Problem, "description": "The body is no JSON in UTF-8."},
    413: {"model": Problem, "description": "The body is too large."},
    422: {"model": InvalidBody, "description": "The body does not say what it must."},
}
STORED: Responses = {
    503: {"model": Problem, "description": "The database is away; nothing was done.", "headers": _RETRY},
}
CONFLICT: Responses = {409: {"model": Problem, "description": "The world is not as the request needs it."}}
MISSING: Responses = {404: {"model": Problem, "description": "Nothing has that name."}}


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """422 that names the field and the rule; FastAPI's own answer would repeat the value that was sent."""
    assert isinstance(error, RequestValidationError)
    problems = [
        {"type": problem["type"], "loc": [_place(part) for part in problem["loc"]], "msg": problem["msg"]}
        for problem in error.errors()
    ]
    return JSONResponse({"detail": jsonable_encoder(problems)}, 422)


def _place(part: str | int) -> str | int:
    """A part of the place of a problem. A name that is none of ours is the client's: a value, perhaps."""
    return part if isinstance(part, int) or part in _OUR_NAMES else "(unknown name)"


def _sentence(status: int, retry_after: int | None = None) -> Callable[[Request, Exception], JSONResponse]:
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None

    def answer(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status, headers)

    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    """As FastAPI answers, but a 405 names the methods of all routes of a path, not of the first."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        path = request.scope["path"]
        routes = [r for r in request.app.routes if isinstance(r, Route) and r.path_regex.match(path)]
        methods = sorted({method for route in routes for method in route.methods or ()})
        error.headers = {"Allow": ", ".join(methods)}
    return await http_exception_handler(request, error)


def add_handlers(app: FastAPI) -> None:
    """Each error of ours has one status."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(PoolFull, _sentence(429, retry_after=1))
    app.add_exception_handler(StoreUnavailable, _sentence(503, retry_after=5))
    app.add_exception_handler(Conflict, _sentence(409))
    app.add_exception_handler(NotFound, _sentence(404))
    app.add_exception_handler(ModelError, _sentence(422))
    app.add_exception_handler(HostileRows, _sentence(422))
