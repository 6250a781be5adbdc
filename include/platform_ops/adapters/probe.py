"""Requests to a service as its users send them: through the gateway, by the host name of its URL."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

import httpx

from platform_ops.core.ports import ProbeAnswer
from platform_ops.core.release import Colour, Target

from .traffic import COLOUR_HEADER

SECRET_PREFIX = "env:"
"""A header value `env:NAME` stands for that environment variable: the ledger keeps the name only."""
_NO_HEADERS: Mapping[str, str] = {}
_BODY_LIMIT = 1 << 20


class HttpProbe:
    """The `Probe` port. `gateway_url` is where to connect when the URL's host is not resolvable from here."""

    def __init__(self, client: httpx.AsyncClient, gateway_url: str = "") -> None:
        self._client = client
        self._gateway_url = gateway_url.rstrip("/")

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
        served = answer.headers.get(COLOUR_HEADER, "")
        return ProbeAnswer(
            status=answer.status_code,
            latency=timedelta(seconds=time.monotonic() - began),
            colour=Colour(served) if served in tuple(Colour) else None,
            body=read,
        )

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
