"""What probes, Prometheus and people on call look at. None of it needs a key."""

from __future__ import annotations

import time

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from analyzer import __version__
from analyzer.service.dependencies import RuntimeDep
from analyzer.service.runtime import Runtime
from analyzer.service.schemas import Problem
from analyzer.service.watch import Dependency

routes = APIRouter(tags=["health"])


@routes.get("/health")
async def health(runtime: RuntimeDep) -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "draining" if runtime.lifecycle.draining else "healthy", "version": __version__}


@routes.get("/health/detailed", response_model=None, responses={503: {"description": "Not ready."}})
async def detailed_health(runtime: RuntimeDep) -> JSONResponse:
    """Each part with its state and time. `degraded` serves; `unhealthy` (503) should get no requests."""
    model = _model(runtime)
    full = runtime.workers.taken >= runtime.workers.capacity
    ready = model["status"] != "unhealthy" and not full and not runtime.lifecycle.draining
    checks = {
        "model": model,
        "cache": _dependency(runtime.watch.cache),
        "database": _dependency(runtime.watch.database) | {"pending_verdicts": runtime.recorder.pending},
        "queue": {
            "status": "full" if full else "healthy",
            "taken": runtime.workers.taken,
            "capacity": runtime.workers.capacity,
            "training_jobs": runtime.training.open_jobs,
            "seconds": round(runtime.workers.last_wait, 6),
        },
        "lifecycle": {
            "status": "draining" if runtime.lifecycle.draining else "running",
            "uptime_seconds": round(runtime.lifecycle.uptime, 3),
        },
    }
    status = "unhealthy" if not ready else "degraded" if runtime.watch.degraded else "healthy"
    return JSONResponse({"status": status, "version": __version__, "checks": checks}, 200 if ready else 503)


def _model(runtime: Runtime) -> dict[str, object]:
    begin = time.perf_counter()
    rules = runtime.detector.self_test()
    problem = runtime.registry.degraded
    return {
        "status": "unhealthy" if not rules else "degraded" if problem else "healthy",
        "rules": rules,
        "model_version": runtime.registry.active,
        "problem": problem,
        "seconds": round(time.perf_counter() - begin, 6),
    }


def _dependency(dependency: Dependency) -> dict[str, object]:
    return {
        "status": "healthy" if dependency.up else "degraded",
        "kind": "server" if dependency.shared else "in process",
        "problem": dependency.problem,
        "seconds": round(dependency.seconds, 6),
        "looked_at_seconds_ago": round(time.monotonic() - dependency.looked_at, 3),
    }


@routes.get("/liveness")
async def liveness() -> dict[str, str]:
    """Whether the event loop turns; says nothing of readiness, so that a draining process is not killed."""
    return {"status": "alive"}


@routes.get("/readiness", responses={503: {"model": Problem}})
async def readiness(runtime: RuntimeDep) -> dict[str, str]:
    """503 until the engine has passed its self-test, and from SIGTERM on. A cache or database that is away
    does not count."""
    if runtime.lifecycle.draining:
        raise HTTPException(503, "draining")
    if not runtime.lifecycle.warm:
        raise HTTPException(503, "the engine does not find what it must")
    return {"status": "ready"}


@routes.get("/version")
async def version(runtime: RuntimeDep) -> dict[str, str]:
    """What runs here."""
    return {
        "version": __version__,
        "commit": runtime.settings.revision,
        "model_version": runtime.registry.active,
    }


@routes.get("/metrics", response_class=Response)
async def metrics(runtime: RuntimeDep) -> Response:
    """The metrics in Prometheus' text format."""
    return Response(generate_latest(runtime.metrics.registry), media_type=CONTENT_TYPE_LATEST)
