"""The application: `create_app(settings)`. No state outside of what it returns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from analyzer import __version__
from analyzer.service.detection import Detector
from analyzer.service.lifecycle import Lifecycle
from analyzer.service.middleware import Surroundings
from analyzer.service.problems import add_handlers
from analyzer.service.routes import analysis, docs, experiments, health, keys, models, statistics, training
from analyzer.service.runtime import Runtime
from analyzer.settings import Settings


def create_app(
    settings: Settings, lifecycle: Lifecycle | None = None, detector: Detector | None = None
) -> FastAPI:
    """The application of one process; `lifecycle` is shared with the server that handles its signals."""
    runtime = Runtime(settings, lifecycle or Lifecycle(), detector)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with runtime.running():
            yield

    app = FastAPI(
        title="LLM Secret Detection Service",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.runtime = runtime
    for part in (health, analysis, training, statistics, models, experiments, keys):
        app.include_router(part.routes)
    docs.add_docs(app)
    add_handlers(app)
    app.add_middleware(
        Surroundings, metrics=runtime.metrics, lifecycle=runtime.lifecycle, limits=_limits(settings)
    )
    return app


def _limits(settings: Settings) -> dict[str, int]:
    """Bytes of a body by path; `*` is any other."""
    return {
        "*": settings.max_body,
        "/analyze/batch": settings.max_text,
        "/analyze/text": settings.max_text,
        "/train": settings.max_training,
    }
