"""The server process: uvicorn with a drain between SIGTERM and the end."""

from __future__ import annotations

import asyncio
import logging
import signal
from datetime import timedelta
from types import FrameType

import uvicorn

from analyzer.service.app import create_app
from analyzer.service.lifecycle import Lifecycle
from analyzer.service.logs import configure
from analyzer.settings import Settings

log = logging.getLogger("analyzer")


class DrainingServer(uvicorn.Server):
    """Turns unready at the first signal, goes on serving for `drain_delay`, then stops as uvicorn does.

    Kubernetes removes a terminating pod from the endpoints while it signals the process, not before: whoever
    closes its socket at once loses the requests that are on their way.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_delay: timedelta) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_delay = drain_delay
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)  # type: ignore[arg-type]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not recorded in uvicorn's list of signals, which it raises again: the exit code would not be 0.
        if self._loop is None or self._lifecycle.draining:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._begin_drain, signal.Signals(sig).name)

    def _begin_drain(self, name: str) -> None:
        if self._lifecycle.draining:
            return
        self._lifecycle.draining = True
        log.info("%s: not ready any more; new requests are served for %s", name, self._drain_delay)
        asyncio.get_running_loop().call_later(self._drain_delay.total_seconds(), self._stop)

    def _stop(self) -> None:
        self.should_exit = True


def serve(settings: Settings, host: str, port: int) -> int:
    """Serves until SIGTERM or SIGINT; 0 when everything that ran was finished."""
    configure()
    lifecycle = Lifecycle()
    config = uvicorn.Config(
        create_app(settings, lifecycle),
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=20,
    )
    server = DrainingServer(config, lifecycle, settings.drain_delay)
    server.run()
    return 0 if server.started else 1
