"""The double as processes of their own: API server, and the controllers and the node when asked for."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .recordings import CHECKOUT

_LISTENING = re.compile(rb"listening on (https?://\S+)")
START_SECONDS = 30.0
STOP_SECONDS = 10.0


@dataclass
class Double:
    """A running cluster double under `folder`; `url` and `token` are set once it listens."""

    folder: Path
    url: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    node_token: str = field(default_factory=lambda: secrets.token_hex(16))
    _processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    _has_node: bool = False
    _options: tuple[str, ...] = ()

    async def start_server(self, *options: str, port: str = "0") -> None:
        """Starts the API server, on a free port unless one is given, and waits until it listens."""
        self._options = options
        self.folder.mkdir(parents=True, exist_ok=True)
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f'{self.token},admin,admin,"system:masters"\n')
        node_token = self.folder / "node-token"
        node_token.write_text(self.node_token)
        process = await self._start(
            "api-server",
            [
                *("-m", "local_platform.cluster", "--data", str(self.folder / "data"), "--port", port),
                *("--tokens", str(tokens), "--node-token-file", str(node_token), *options),
            ],
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                while line := await process.stdout.readline():
                    if found := _LISTENING.search(line):
                        self.url = found[1].decode()
                        return
        except TimeoutError:
            pass
        raise RuntimeError(f"the API server did not start: see {self.folder / 'api-server.log'}")

    async def restart_server(self) -> None:
        """Kills the API server without warning and starts it again on the same port and data."""
        server = self._processes.pop(0)
        os.killpg(server.pid, signal.SIGKILL)
        await server.wait()
        components, self._processes = self._processes, []
        await self.start_server(*self._options, port=self.url.rpartition(":")[2])
        self._processes += components

    async def start_component(self, name: str, arguments: Sequence[str]) -> None:
        """Starts a client of the API (controllers, node)."""
        await self._start(name, arguments)

    async def start_node(self, name: str, registry: str) -> None:
        """Starts a node with the controllers; it holds `localhost/app:1` when it is ready."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        arguments = ["-m", "local_platform.node", "--kubeconfig", str(self.kubeconfig()), "--name", name]
        arguments += ["--data", str(self.folder / "node"), "--port", str(port)]
        arguments += ["--token-file", str(self.folder / "node-token"), "--label", "real=true"]
        arguments += ["--registry-mirror", f"localhost={registry}", "--preload", "localhost/app:1"]
        self._has_node = True
        await self._start("node", arguments)

    def kubeconfig(self) -> Path:
        """A kubeconfig for the components; its token is the administrator's."""
        path = self.folder / "kubeconfig"
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: double\n"
            f"clusters: [{{name: double, cluster: {{server: '{self.url}'}}}}]\n"
            f"users: [{{name: admin, user: {{token: '{self.token}'}}}}]\n"
            "contexts: [{name: double, context: {cluster: double, user: admin}}]\n"
        )
        return path

    async def _start(self, name: str, arguments: Sequence[str]) -> asyncio.subprocess.Process:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "astro" / "local"), "PYTHONUNBUFFERED": "1"}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if name == "api-server" else log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    async def stop(self) -> None:
        """Stops every process that was started, the API server last."""
        for process in reversed(self._processes):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), STOP_SECONDS)
                except TimeoutError:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
        self._processes.clear()
        if self._has_node:
            data = ["--data", str(self.folder / "node"), "--stop-all"]
            ending = await self._start("stop-all", ["-m", "local_platform.node", *data])
            await ending.wait()
            self._processes.clear()
