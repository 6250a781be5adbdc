"""What routes ask for: the parts of the application, and a caller who may do what the route does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Response
from fastapi.security import APIKeyHeader

from analyzer.service.keys import Caller
from analyzer.service.runtime import Runtime
from analyzer.storage.records import Scope

api_key_header = APIKeyHeader(name="X-API-KEY", auto_error=False)


async def runtime_of(request: Request) -> Runtime:
    """The parts of the application that got the request."""
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(runtime_of)]


async def take(runtime: Runtime, response: Response, caller: Caller, values: int) -> None:
    """Counts values against the caller's rate limit; 429 when it is used up."""
    window = await runtime.limits.take(caller.key_id, values)
    if not window.allowed:
        raise HTTPException(429, f"at most {window.limit} values in {window.period} s", window.headers)
    response.headers.update(window.headers)


def allowed(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, whose key has `scope` and is within its rate limit; else 401, 403 or 429."""

    async def caller(
        runtime: RuntimeDep, response: Response, key: Annotated[str | None, Depends(api_key_header)]
    ) -> Caller:
        now = datetime.now(UTC)
        found = runtime.keys.caller(key or "", now)
        if found is None:
            raise HTTPException(401, "X-API-KEY is missing or unknown", {"WWW-Authenticate": "ApiKey"})
        if scope not in found.scopes:
            raise HTTPException(403, f"this key has not the scope {scope.value!r}")
        if found.stored:
            runtime.recorder.used(found.key_id, now)
        await take(runtime, response, found, 1)
        return found

    return caller


Analyst = Annotated[Caller, Depends(allowed(Scope.ANALYZE))]
Trainer = Annotated[Caller, Depends(allowed(Scope.TRAIN))]
Admin = Annotated[Caller, Depends(allowed(Scope.ADMIN))]
