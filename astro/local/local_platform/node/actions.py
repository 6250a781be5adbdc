"""The three things a probe or a life-cycle hook may do: an HTTP request, a TCP connection, a program in
the container.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import aiohttp

from local_platform.cluster.controllers.resources import Object
from local_platform.node.container import Attempt
from local_platform.node.execution import run_in_container


@dataclass(frozen=True)
class Outcome:
    """Whether an action succeeded, and otherwise why, in the kubelet's words."""

    success: bool
    message: str = ""


class Actions:
    """Actions against containers of one pod address."""

    def __init__(self, session: aiohttp.ClientSession, pod_ip: str) -> None:
        self._session = session
        self._pod_ip = pod_ip

    async def run(self, action: Object, container: Object, attempt: Attempt, timeout: float) -> Outcome:
        """Do what `action` (a probe or a hook) says, within `timeout` seconds."""
        if "httpGet" in action:
            return await self._http(action["httpGet"], container, timeout)
        if "tcpSocket" in action:
            return await self._tcp(action["tcpSocket"], container, timeout)
        if "exec" in action:
            return await self._exec(action["exec"]["command"], attempt, timeout)
        if "sleep" in action:
            await asyncio.sleep(action["sleep"]["seconds"])
            return Outcome(True)
        if "grpc" in action:
            return Outcome(
                False, "gRPC probes are not offered by the local node; use httpGet, tcpSocket or exec"
            )
        return Outcome(True)

    async def _http(self, action: Object, container: Object, timeout: float) -> Outcome:
        host = action.get("host") or self._pod_ip
        port = port_number(action["port"], container)
        scheme = action.get("scheme", "HTTP").lower()
        path = action.get("path") or "/"
        url = f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"
        headers = {"User-Agent": "kube-probe/1.36", "Connection": "close"}
        headers |= {entry["name"]: entry["value"] for entry in action.get("httpHeaders") or []}
        try:
            async with self._session.get(
                url,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
                ssl=False,
            ) as response:
                if 200 <= response.status < 400:
                    return Outcome(True)
                return Outcome(False, f"HTTP probe failed with statuscode: {response.status}")
        except TimeoutError:
            return Outcome(
                False,
                f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
            )
        except aiohttp.ClientConnectorError as error:
            return Outcome(False, f'Get "{url}": dial tcp {host}:{port}: connect: {_words(error.os_error)}')
        except aiohttp.ClientError as error:
            return Outcome(False, f'Get "{url}": {error or "EOF"}')

    async def _tcp(self, action: Object, container: Object, timeout: float) -> Outcome:
        host = action.get("host") or self._pod_ip
        port = port_number(action["port"], container)
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout)
        except TimeoutError:
            return Outcome(False, f"dial tcp {host}:{port}: i/o timeout")
        except OSError as error:
            return Outcome(False, f"dial tcp {host}:{port}: connect: {_words(error)}")
        writer.close()
        return Outcome(True)

    async def _exec(self, command: list[str], attempt: Attempt, timeout: float) -> Outcome:
        if not attempt.running:
            return Outcome(False, "the container is not running")
        try:
            result = await run_in_container(attempt, command, timeout)
        except TimeoutError:
            return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {timeout:g}s')
        if result.failure:
            return Outcome(
                False,
                f"OCI runtime exec failed: unable to start container process: {result.failure}: unknown",
            )
        return Outcome(result.code == 0, result.output)


def port_number(port: int | str, container: Object) -> int:
    """A port given by number or by the name of one of the container's ports.

    Raises:
        LookupError: no port of that name.
    """
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    for entry in container.get("ports") or []:
        if entry.get("name") == port:
            return int(entry["containerPort"])
    raise LookupError(f'couldn\'t find port: "{port}" in container {container["name"]}')


def _words(error: OSError) -> str:
    # aiohttp and asyncio put the address into strerror; the errno has the plain words.
    return os.strerror(error.errno).lower() if error.errno else str(error)
