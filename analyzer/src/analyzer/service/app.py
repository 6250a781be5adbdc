"""The application: `create_app(settings)` and its routes. No state outside of what it returns."""

from __future__ import annotations

import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from analyzer import __version__
from analyzer.engine.detect import Verdict, judge
from analyzer.engine.rules import RULES, RULES_VERSION
from analyzer.service.lifecycle import Lifecycle
from analyzer.service.metrics import Metrics
from analyzer.service.middleware import Surroundings
from analyzer.service.workers import PoolFull, Workers
from analyzer.settings import Settings, key_digest

api_key_header = APIKeyHeader(name="X-API-KEY", auto_error=False)


class AnalysisRequest(BaseModel, extra="forbid"):
    """One value and where it stands."""

    secret_value: str = Field(description="The value to judge. It is never stored, logged or returned.")
    context: str = Field("", description="The text around it, or what it is for.")
    variable_name: str = Field("", description="The name that it is assigned to.")


class Analysis(BaseModel):
    """The verdict on one value."""

    is_secret: bool
    probability: float = Field(ge=0, le=1)
    secret_type: str
    risk_level: str = Field(description="critical, high, medium or low")
    reasons: list[str]
    redacted: str = Field(description="The value's public prefix and its length.")
    fingerprint: str = Field(description="Key id and HMAC-SHA-256 of the value.")
    model_version: str


class Problem(BaseModel):
    """What is wrong with a request."""

    detail: str


class Engine:
    """What the routes share in one application."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle) -> None:
        self.settings = settings
        self.lifecycle = lifecycle
        self.metrics = Metrics()
        self.workers = Workers(settings.workers, settings.max_waiting)

    async def analyse(self, request: AnalysisRequest) -> Verdict:
        """Judges in a thread and records the time that it took."""
        begin = time.perf_counter()
        verdict = await self.workers.run(
            lambda: judge(
                request.secret_value, request.context, request.variable_name, self.settings.fingerprint
            )
        )
        self.metrics.analysis_duration.labels(verdict.secret_type).observe(time.perf_counter() - begin)
        if verdict.is_secret:
            self.metrics.detected.labels(verdict.risk_level, verdict.secret_type).inc()
        return verdict


def engine_of(request: Request) -> Engine:
    """The engine of the application that got the request."""
    engine: Engine = request.app.state.engine
    return engine


EngineDep = Annotated[Engine, Depends(engine_of)]


def require_key(engine: EngineDep, key: Annotated[str | None, Depends(api_key_header)]) -> None:
    """401 unless the header holds one of the configured keys, compared by hash."""
    digest = key_digest(key or "")
    if not any(hmac.compare_digest(digest, known) for known in engine.settings.key_digests):
        raise HTTPException(401, "X-API-KEY is missing or unknown", {"WWW-Authenticate": "ApiKey"})


routes = APIRouter()


@routes.get("/health")
async def health(engine: EngineDep) -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "draining" if engine.lifecycle.draining else "healthy", "version": __version__}


@routes.get("/health/detailed")
async def detailed_health(engine: EngineDep) -> JSONResponse:
    """Each part with its state: rules, worker pool, life of the process."""
    begin = time.perf_counter()
    sound = judge("dop_v1_" + "0123456789abcdef" * 4, "", "", engine.settings.fingerprint).is_secret
    full = engine.workers.taken >= engine.workers.capacity
    ready = sound and not full and not engine.lifecycle.draining
    checks = {
        "engine": {
            "status": "healthy" if sound else "unhealthy",
            "rules": len(RULES),
            "model_version": RULES_VERSION,
            "seconds": round(time.perf_counter() - begin, 6),
        },
        "workers": {
            "status": "full" if full else "healthy",
            "taken": engine.workers.taken,
            "capacity": engine.workers.capacity,
        },
        "lifecycle": {
            "status": "draining" if engine.lifecycle.draining else "running",
            "uptime_seconds": round(engine.lifecycle.uptime, 3),
        },
    }
    status = "healthy" if ready else "unhealthy"
    return JSONResponse({"status": status, "version": __version__, "checks": checks}, 200 if ready else 503)


@routes.get("/liveness")
async def liveness() -> dict[str, str]:
    """Whether the event loop turns; says nothing of readiness, so that a draining process is not killed."""
    return {"status": "alive"}


@routes.get("/readiness", responses={503: {"model": Problem}})
async def readiness(engine: EngineDep) -> dict[str, str]:
    """503 as soon as the process was told to stop."""
    if engine.lifecycle.draining:
        raise HTTPException(503, "draining")
    return {"status": "ready"}


@routes.get("/version")
async def version(engine: EngineDep) -> dict[str, str]:
    """What runs here."""
    return {"version": __version__, "commit": engine.settings.revision, "model_version": RULES_VERSION}


@routes.get("/metrics")
async def metrics(engine: EngineDep) -> Response:
    """The metrics in Prometheus' text format."""
    return Response(generate_latest(engine.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@routes.post(
    "/analyze",
    dependencies=[Depends(require_key)],
    responses={
        400: {"model": Problem},
        401: {"model": Problem},
        413: {"model": Problem},
        429: {"model": Problem, "headers": {"Retry-After": {"schema": {"type": "integer"}}}},
    },
)
async def analyze(body: AnalysisRequest, engine: EngineDep) -> Analysis:
    """Judges one value."""
    try:
        verdict = await engine.analyse(body)
    except PoolFull:
        raise HTTPException(429, "too many analyses wait; try again", {"Retry-After": "1"}) from None
    return Analysis.model_validate(verdict, from_attributes=True)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """422 that names the field and the rule; FastAPI's own answer would repeat the value that was sent."""
    assert isinstance(error, RequestValidationError)
    problems = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in error.errors()]
    return JSONResponse({"detail": jsonable_encoder(problems)}, 422)


def create_app(settings: Settings, lifecycle: Lifecycle | None = None) -> FastAPI:
    """The application of one process; `lifecycle` is shared with the server that handles its signals."""
    engine = Engine(settings, lifecycle or Lifecycle())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        engine.workers.close()

    app = FastAPI(title="LLM Secret Detection Service", version=__version__, lifespan=lifespan)
    app.state.engine = engine
    app.include_router(routes)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(
        Surroundings, metrics=engine.metrics, lifecycle=engine.lifecycle, max_body=settings.max_body
    )
    return app
