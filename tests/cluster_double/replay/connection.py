"""Requests to a double, as plain as the recorded ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

REQUEST_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """What the double answered; `body` is decoded JSON or text."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Connection:
    """To the double at `base`, in the name of the administrator."""

    def __init__(self, base: str, token: str) -> None:
        self.base = base
        self.headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Connection:
        self._session = aiohttp.ClientSession(auto_decompress=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    async def write(
        self, method: str, path: str, body: Any, *, agent: str = "", kind: str = "application/json"
    ) -> Answer:
        """A change that no recorded request made; `agent` is the client's user agent."""
        headers = {**self.headers, "Content-Type": kind} | ({"User-Agent": agent} if agent else {})
        return await self.send(
            method, self.base + path, headers, None if body is None else json.dumps(body).encode()
        )

    async def read(self, path: str) -> Answer:
        return await self.send("GET", self.base + path, self.headers)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        async with asyncio.timeout(REQUEST_SECONDS):
            async with self.session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                skip_auto_headers=("Content-Type",),
            ) as response:
                raw = await response.read()
                kind = response.headers.get("Content-Type", "")
                content: Any = raw.decode("utf-8", "replace")
                if "json" in kind and raw:
                    # What says it is JSON and is not stays text, and shows up as a difference.
                    with contextlib.suppress(ValueError):
                        content = json.loads(raw)
                return Answer(response.status, response.headers, content)
