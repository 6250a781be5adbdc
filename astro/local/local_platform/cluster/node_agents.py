"""The connection to the agents of the nodes, which run the pods.

An agent is found by its Node object: address in status.addresses, port in status.daemonEndpoints. It
speaks plain HTTP on loopback and asks for a bearer token. What it refuses, it refuses with a status code
and a sentence as text.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from aiohttp import web

from .errors import StatusError, internal, not_found
from .store import Store

JSON = dict[str, Any]

_REASONS = {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}
_STATS_TIMEOUT = aiohttp.ClientTimeout(total=5)
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5)
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "authorization",
                         "content-length", "te", "trailer", "proxy-authorization"})  # fmt: skip


class NodeAgents:
    """Requests to the agents; `close` ends the connections."""

    def __init__(self, store: Store, token: str) -> None:
        self._store = store
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_NO_TIMEOUT, auto_decompress=False)
        return self._session

    def url(self, node: str) -> str:
        """The agent of a node. Raises 404 for an unknown node and 500 for one without an address."""
        found = self._store.get("nodes", "", node)
        if found is None:
            raise not_found("", "nodes", node)
        status = found.document.get("status") or {}
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
        addresses = {one["type"]: one["address"] for one in status.get("addresses") or []}
        address = addresses.get("InternalIP") or addresses.get("Hostname")
        if not port or not address:
            raise internal(f"node {node} has not published the address of its agent yet")
        return f"http://{address}:{port}"

    async def get(self, node: str, path: str, query: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Raises the agent's refusal as a StatusError."""
        try:
            response = await self.session.get(self.url(node) + path, params=query, headers=self._headers())
        except aiohttp.ClientError as error:
            raise _unreachable(node, error) from error
        if response.status >= 400:
            text = (await response.text()).strip()
            response.release()
            raise StatusError(response.status, _REASONS.get(response.status, "InternalError"), text)
        return response

    async def stats(self, node: str) -> JSON:
        """Usage figures of a node and its pods."""
        url = self.url(node) + "/stats"
        try:
            async with self.session.get(url, headers=self._headers(), timeout=_STATS_TIMEOUT) as response:
                response.raise_for_status()
                figures: JSON = await response.json()
                return figures
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(node, error) from error

    async def connect(
        self, node: str, path: str, query: Sequence[tuple[str, str]], protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """Raises the agent's refusal, or 500 when it cannot be reached."""
        try:
            return await self.session.ws_connect(
                self.url(node) + path,
                params=query,
                protocols=(protocol,),
                headers=self._headers(),
                max_msg_size=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            raise StatusError(
                error.status, _REASONS.get(error.status, "InternalError"), error.message
            ) from error
        except aiohttp.ClientError as error:
            raise _unreachable(node, error) from error

    async def forward(
        self, request: web.Request, url: str, *, authorized: bool = False
    ) -> web.StreamResponse:
        """Pass a request on to `url` and its answer back."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        if authorized:
            headers.update(self._headers())
        body = await request.read() if request.can_read_body else None
        try:
            async with self.session.request(
                request.method, url, params=request.query, headers=headers, data=body, allow_redirects=False
            ) as answer:
                kept = {
                    name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP
                }
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                return response
        except aiohttp.ClientConnectionError as error:
            message = f"error trying to reach service: {error}"
            raise StatusError(503, "ServiceUnavailable", message) from error

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}


def _unreachable(node: str, error: Exception) -> StatusError:
    return internal(f"the agent of node {node} cannot be reached: {error}")


async def relay(client: web.WebSocketResponse, agent: aiohttp.ClientWebSocketResponse) -> None:
    """Copy frames both ways until either side closes; text of the client becomes binary for the agent.

    What the agent said before it closed reaches the client even when the client's own frames come too late.
    """

    async def inwards() -> None:
        async for message in client:
            if message.type is aiohttp.WSMsgType.TEXT:
                await agent.send_bytes(message.data.encode())
            elif message.type is aiohttp.WSMsgType.BINARY:
                await agent.send_bytes(message.data)
        await agent.close()

    async def outwards() -> None:
        async for message in agent:
            if message.type is aiohttp.WSMsgType.BINARY:
                await client.send_bytes(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                await client.send_bytes(message.data.encode())

    reading = asyncio.create_task(inwards())
    try:
        with contextlib.suppress(ConnectionError):
            await outwards()
    finally:
        reading.cancel()
        (outcome,) = await asyncio.gather(reading, return_exceptions=True)
        # Only when nobody reads from the client does aiohttp wait for its closing frame before it hangs up.
        await agent.close()
        await client.close()
    if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionError):
        raise outcome
