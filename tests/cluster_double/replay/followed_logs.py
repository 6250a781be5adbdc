"""Logs that are followed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import aiohttp
from yarl import URL

from .comparison import Comparison
from .correspondence import Correspondence
from .recordings import Exchange
from .running import OPEN_SECONDS, Running, Wait


class FollowedLog(Running):
    """A log that is followed; compared is the whole text."""

    def __init__(self, exchange: Exchange, response: aiohttp.ClientResponse) -> None:
        super().__init__(exchange)
        self.response = response
        self.text = ""
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, session: aiohttp.ClientSession, exchange: Exchange, url: str, headers: Mapping[str, str]
    ) -> FollowedLog:
        async with asyncio.timeout(OPEN_SECONDS):
            while True:
                response = await session.get(
                    URL(url, encoded=True), headers=dict(headers), timeout=aiohttp.ClientTimeout(total=None)
                )
                if response.status not in (400, 404):
                    return cls(exchange, response)
                # The node does not know the Pod yet, or its container is still being created: the recorded
                # client came a little later.
                response.close()
                await asyncio.sleep(0.05)

    async def _read(self) -> None:
        try:
            async for chunk in self.response.content.iter_any():
                self.text += chunk.decode("utf-8", "replace")
        except aiohttp.ClientError as error:
            self.trouble = f"{type(error).__name__} {error}"

    async def finish(self, wait: Wait, *, leave: bool = False) -> bool:
        wanted = len(str(self.exchange.response or ""))
        deadline = time.monotonic() + wait.longest
        while len(self.text) < wanted and not self._task.done() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.response.close()
        return len(self.text) >= wanted

    def compare(self, correspondence: Correspondence, node_names: Sequence[str]) -> Comparison:
        comparison = Comparison(correspondence, node_names)
        if self.response.status != self.exchange.status:
            comparison.differences.append(
                f"status: recorded {self.exchange.status}, double {self.response.status}: {self.text[:200]}"
            )
            return comparison
        comparison.normalisations.add("frames")
        recorded = str(self.exchange.response or "")
        lines = self.text.splitlines(keepends=True)
        if self.exchange.ended:
            # The recorded client left; what came after is not known.
            lines = lines[: len(recorded.splitlines())]
        comparison.bodies(recorded, "".join(lines))
        return comparison
