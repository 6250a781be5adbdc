"""The application and its server."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fm_llm_solver import __version__
from fm_llm_solver.certificate import Certificate, Matrix, NoCertificate, check, solve

log = logging.getLogger("fm_llm_solver")
BUILD_FILE = Path(__file__).parents[2] / "build.json"
MAX_BODY = 16_384
DRAIN_SECONDS = 5.0


class CertificateRequest(BaseModel):
    """A system and, if there is one, a candidate to judge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: Matrix
    candidate: Matrix | None = None

    @field_validator("system", "candidate")
    @classmethod
    def _finite(cls, value: Matrix | None) -> Matrix | None:
        if value is not None and not all(math.isfinite(x) and abs(x) <= 1e6 for row in value for x in row):
            raise ValueError("finite numbers of at most 1e6 are needed")
        return value


@dataclass
class Lifecycle:
    """Shared by the application (readiness) and the server (signals)."""

    draining: bool = False


class Solver:
    """The routes and what they count."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._registry = CollectorRegistry()
        self._certificates = Counter(
            "fm_certificates_total",
            "Certificate requests, by their outcome.",
            ("outcome",),
            registry=self._registry,
        )
        self._duration = Histogram(
            "fm_certificate_duration_seconds",
            "Time to answer a certificate request.",
            registry=self._registry,
        )

    def routes(self) -> list[Route]:
        """All paths."""
        return [
            Route("/health", self.health),
            Route("/liveness", self.liveness),
            Route("/readiness", self.readiness),
            Route("/version", self.version),
            Route("/metrics", self.metrics),
            Route("/api/metrics", self.metrics),
            Route("/api/certificates", self.certificates, methods=["POST"]),
        ]

    async def health(self, _: Request) -> Response:
        """Whether the process answers."""
        return _answer({"status": "draining" if self._lifecycle.draining else "healthy"})

    async def liveness(self, _: Request) -> Response:
        """Whether the event loop turns."""
        return _answer({"status": "alive"})

    async def readiness(self, _: Request) -> Response:
        """503 as soon as the process was told to stop."""
        draining = self._lifecycle.draining
        return _answer({"status": "draining" if draining else "ready"}, 503 if draining else 200)

    async def version(self, _: Request) -> Response:
        """What runs here."""
        labels = json.loads(BUILD_FILE.read_text()) if BUILD_FILE.is_file() else {}
        commit = labels.get("org.opencontainers.image.revision", "unknown")
        return _answer({"version": __version__, "commit": commit})

    async def metrics(self, _: Request) -> Response:
        """The metrics in Prometheus' text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def certificates(self, request: Request) -> Response:
        """Judges or computes a certificate."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return _answer({"detail": f"the body may have at most {MAX_BODY} bytes"}, 413)
        with self._duration.time():
            try:
                asked = CertificateRequest.model_validate_json(body)
            except ValidationError as error:
                self._certificates.labels("refused").inc()
                return _answer(
                    {"detail": json.loads(error.json(include_url=False, include_input=False))}, 422
                )
            certificate = _certificate(asked)
        self._certificates.labels("valid" if certificate.valid else "invalid").inc()
        return _answer(
            {"candidate": certificate.candidate, "valid": certificate.valid, "reason": certificate.reason}
        )


def _certificate(asked: CertificateRequest) -> Certificate:
    if asked.candidate is not None:
        return check(asked.system, asked.candidate)
    try:
        return check(asked.system, solve(asked.system))
    except NoCertificate as error:
        return Certificate(None, False, str(error))


def _without_input(error: ValidationError) -> object:
    return json.loads(error.json(include_url=False, include_input=False))


def _answer(content: dict[str, object], status: int = 200) -> Response:
    return JSONResponse({"stand_in": True, **content}, status)


def create_app(lifecycle: Lifecycle | None = None) -> Starlette:
    """The application of one process."""
    return Starlette(routes=Solver(lifecycle or Lifecycle()).routes())


class DrainingServer(uvicorn.Server):
    """Turns unready at the first signal, serves on for a while, then stops as uvicorn does; exit 0."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, delay: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._delay = delay
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)  # type: ignore[arg-type]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is None or self._lifecycle.draining:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        self._lifecycle.draining = True
        log.info("not ready any more; new requests are served for %s s", self._delay)
        asyncio.get_running_loop().call_later(self._delay, self._stop)

    def _stop(self) -> None:
        self.should_exit = True


def serve(host: str, port: int) -> int:
    """Serves until SIGTERM or SIGINT. FM_DRAIN_SECONDS: how long after the signal new requests are taken."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    lifecycle = Lifecycle()
    config = uvicorn.Config(
        create_app(lifecycle), host=host, port=port, access_log=False, log_config=None, server_header=False,
        timeout_keep_alive=75, timeout_graceful_shutdown=20,
    )  # fmt: skip
    server = DrainingServer(config, lifecycle, float(os.environ.get("FM_DRAIN_SECONDS", DRAIN_SECONDS)))
    server.run()
    return 0 if server.started else 1
