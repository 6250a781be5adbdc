"""WebSockets: exec, attach and port-forward."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from yarl import URL

from .comparison import Comparison
from .correspondence import Correspondence
from .recordings import Exchange
from .running import OPEN_SECONDS, Running, Wait

_TURN_SECONDS = 1.0


class WebSocket(Running):
    """exec, attach and port-forward: compared are the texts per channel and the close code."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.status = 101
        self.protocol: str | None = None
        self.received: dict[int, bytes] = {}
        self.close_code: int | None = None

    @classmethod
    async def open(
        cls, session: aiohttp.ClientSession, exchange: Exchange, url: str, headers: Mapping[str, str]
    ) -> WebSocket:
        one = cls(exchange)
        protocols = [
            part.strip()
            for part in exchange.headers.get("sec-websocket-protocol", "").split(",")
            if part.strip()
        ]
        plain = {key: value for key, value in headers.items() if key.lower() != "sec-websocket-protocol"}
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                socket = await session.ws_connect(
                    URL(url, encoded=True), headers=plain, protocols=protocols, max_msg_size=0
                )
        except aiohttp.WSServerHandshakeError as error:
            one.status = error.status
            one.trouble = f"no upgrade: {error.status}"
            return one
        one.protocol = socket.protocol
        await one._talk(socket)
        return one

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        reader = asyncio.create_task(self._read(socket))
        for frame in self.exchange.frames:
            if frame.get("dir") != "c2s" or frame.get("ws_op") == "close":
                continue
            raw = _frame_bytes(frame)
            if raw is None:
                continue
            await self._answered_until(frame)
            if frame.get("op") == "text":
                await socket.send_str(raw.decode("utf-8", "surrogateescape"))
            else:
                await socket.send_bytes(raw)
        limit = 5.0 if not self.exchange.ended or self._wants_status() else 2.0
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(reader), limit)
        await socket.close()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)

    async def _answered_until(self, sent: Mapping[str, Any]) -> None:
        """Waits until the double answered as many bytes as the recorded server had before this frame."""
        due = 0
        for frame in self.exchange.frames:
            if frame is sent:
                break
            if frame.get("dir") == "s2c" and frame.get("channel") is not None:
                due += int(frame.get("len") or 0)
        deadline = time.monotonic() + _TURN_SECONDS
        while sum(map(len, self.received.values())) < due and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def _wants_status(self) -> bool:
        return any(frame.get("channel") == 3 for frame in self.exchange.frames)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            data = message.data if isinstance(message.data, bytes) else str(message.data).encode()
            if data:
                self.received[data[0]] = self.received.get(data[0], b"") + data[1:]
        self.close_code = socket.close_code

    async def finish(self, wait: Wait, *, leave: bool = False) -> bool:
        return True

    def compare(self, correspondence: Correspondence, node_names: Sequence[str]) -> Comparison:
        comparison = Comparison(correspondence, node_names)
        if self.trouble:
            comparison.differences.append(self.trouble)
            return comparison
        comparison.normalisations.add("frames")
        chosen = self.exchange.response_headers.get("sec-websocket-protocol")
        if chosen != self.protocol:
            comparison.differences.append(f"protocol: recorded {chosen!r}, double {self.protocol!r}")
        if "portforward" in self.exchange.path:
            return comparison
        expected: dict[int, bytes] = {}
        for frame in self.exchange.frames:
            if frame.get("dir") == "s2c" and frame.get("channel") is not None:
                text = _payload(frame)
                expected[frame["channel"]] = expected.get(frame["channel"], b"") + text
        if any(frame.get("text_cut") for frame in self.exchange.frames):
            self._compare_lengths(comparison)
            return comparison
        for channel in sorted(set(expected) | set(self.received)):
            left = expected.get(channel, b"").decode("utf-8", "replace")
            right = self.received.get(channel, b"").decode("utf-8", "replace")
            comparison.bodies({f"channel {channel}": left}, {f"channel {channel}": right})
        codes = [
            frame.get("code")
            for frame in self.exchange.frames
            if frame.get("ws_op") == "close" and frame.get("dir") == "s2c"
        ]
        if codes and self.close_code != codes[0]:
            comparison.differences.append(f"close code: recorded {codes[0]}, double {self.close_code}")
        return comparison

    def _compare_lengths(self, comparison: Comparison) -> None:
        """The recording shortened these texts: compared are the bytes per channel."""
        expected: dict[int, int] = {}
        for frame in self.exchange.frames:
            if frame.get("dir") == "s2c" and frame.get("channel") is not None:
                expected[frame["channel"]] = expected.get(frame["channel"], 0) + int(frame["len"])
        actual = {channel: len(data) for channel, data in self.received.items()}
        if expected != actual:
            comparison.differences.append(f"bytes per channel: recorded {expected}, double {actual}")


def _payload(frame: Mapping[str, Any]) -> bytes:
    if "base64" in frame:
        return base64.b64decode(frame["base64"])
    return str(frame.get("text", "")).encode()


def _frame_bytes(frame: Mapping[str, Any]) -> bytes | None:
    if frame.get("channel") == 255:
        closed = frame["closes"]
        return bytes([255, *(closed if isinstance(closed, list) else [closed])])
    if frame.get("channel") is None:
        return None
    return bytes([int(frame["channel"])]) + _payload(frame)
