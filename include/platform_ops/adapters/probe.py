"""Requests to a service as its users send them: through the gateway, by the host name of its URL."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from urllib.parse import urlsplit

import httpx

from platform_ops.core.errors import OpsError
from platform_ops.core.ports import ProbeAnswer
from platform_ops.core.release import Colour, Router, Target

from .traffic import COLOUR_HEADER

SECRET_PREFIX = "env:"
"""A header value `env:NAME` stands for that environment variable: the ledger keeps the name only."""
_NO_HEADERS: Mapping[str, str] = {}
_BODY_LIMIT = 1 << 20
_TOGETHER = 0.05
"""Seconds in which answers gather for one look at who is behind a Service."""


ServedColour = Callable[[Target], Awaitable[Colour | None]]


class HttpProbe:
    """The `Probe` port. `gateway_url` is where to connect when the URL's host is not resolvable from here.

    The colour of an answer is the header that the route sets. Behind the selector of a Service no route can:
    there `served_colour` tells which pods the Service sends requests to, once the answer is there.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        gateway_url: str = "",
        served_colour: ServedColour | None = None,
    ) -> None:
        self._client = client
        self._gateway_url = gateway_url.rstrip("/")
        self._served_colour = served_colour
        self._looking: dict[str, asyncio.Task[Colour | None]] = {}

    async def request(
        self,
        target: Target,
        path: str,
        *,
        method: str = "GET",
        colour: Colour | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes = b"",
        timeout: timedelta = timedelta(seconds=5),
    ) -> ProbeAnswer:
        base = self._gateway_url or target.url
        sent = {"host": urlsplit(target.url).netloc, "user-agent": "platform-ops-probe"}
        if body:
            sent["content-type"] = "application/json"
        if colour is not None:
            sent[COLOUR_HEADER] = colour.value
        began = time.monotonic()
        try:
            sent |= {name.lower(): _revealed(value) for name, value in headers.items()}
            async with asyncio.timeout(timeout.total_seconds()):
                answer, read = await self._exchange(method, base + path, sent, body)
        except TimeoutError:
            return _unanswered(began, f"no answer within {timeout.total_seconds():g} s")
        except (httpx.HTTPError, httpx.InvalidURL, LookupError) as failed:
            return _unanswered(began, str(failed) or type(failed).__name__)
        took = timedelta(seconds=time.monotonic() - began)
        named = answer.headers.get(COLOUR_HEADER, "")
        served = Colour(named) if named in tuple(Colour) else None
        if served is None and colour is None and target.router is Router.SERVICE:
            served = await self._colour_behind_service(target)
        return ProbeAnswer(status=answer.status_code, latency=took, colour=served, body=read)

    async def _colour_behind_service(self, target: Target) -> Colour | None:
        """Answers that come in together share one look, begun after the last of them at the earliest."""
        if self._served_colour is None:
            return None
        looking = self._looking.get(target.key)
        if looking is None:
            looking = asyncio.create_task(self._look_soon(target, self._served_colour))
            self._looking[target.key] = looking
        try:
            return await asyncio.shield(looking)
        except OpsError:
            return None

    async def _look_soon(self, target: Target, served_colour: ServedColour) -> Colour | None:
        await asyncio.sleep(_TOGETHER)
        del self._looking[target.key]
        return await served_colour(target)

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[httpx.Response, bytes]:
        async with self._client.stream(method, url, headers=dict(headers), content=body or None) as answer:
            read = b""
            async for chunk in answer.aiter_bytes():
                read += chunk
                if len(read) > _BODY_LIMIT:
                    return answer, read[:_BODY_LIMIT]
            return answer, read


def _revealed(value: str) -> str:
    if not value.startswith(SECRET_PREFIX):
        return value
    name = value.removeprefix(SECRET_PREFIX)
    if name not in os.environ:
        raise LookupError(f"the environment variable {name} is not set; it holds a header of this check")
    return os.environ[name]


def _unanswered(began: float, why: str) -> ProbeAnswer:
    return ProbeAnswer(status=0, latency=timedelta(seconds=time.monotonic() - began), error=why)
