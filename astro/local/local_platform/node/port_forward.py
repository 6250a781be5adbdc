"""Port-forwarding: SPDY/3.1 streams inside WebSocket messages, each pair of them one TCP connection to the
pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import aiohttp
from aiohttp import web

from local_platform.node import spdy

log = logging.getLogger(__name__)

PROTOCOL = "SPDY/3.1+portforward.k8s.io"
BLOCK = 32 * 1024


class _Forwarded:
    """One forwarded connection: what the client sends, until it ends its side."""

    def __init__(self, error_stream: int) -> None:
        self.error_stream = error_stream
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()


class _Session:
    def __init__(self, socket_: web.WebSocketResponse, address: str) -> None:
        self._socket = socket_
        self._address = address
        self._connection = spdy.Connection()
        self._error_streams: dict[str, int] = {}
        self._forwarded: dict[int, _Forwarded] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            async for message in self._socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    for frame in self._connection.feed(message.data):
                        await self._take(frame)
        except spdy.SpdyError as error:
            log.info("port-forward to %s: %s", self._address, error)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _take(self, frame: spdy.Frame) -> None:
        if frame.kind == spdy.SYN_STREAM:
            await self._open(frame)
        elif frame.kind == spdy.DATA and frame.stream in self._forwarded:
            incoming = self._forwarded[frame.stream].incoming
            if frame.payload:
                incoming.put_nowait(frame.payload)
            if frame.last:
                incoming.put_nowait(None)
        elif frame.kind == spdy.RST_STREAM and frame.stream in self._forwarded:
            self._forwarded[frame.stream].incoming.put_nowait(None)
        elif frame.kind == spdy.PING:
            await self._send(spdy.pong(frame.payload))

    async def _open(self, frame: spdy.Frame) -> None:
        headers = {name.lower(): value for name, value in frame.headers}
        request = headers.get("requestid", "")
        await self._send(self._connection.reply(frame.stream))
        if headers.get("streamtype") == "error":
            self._error_streams[request] = frame.stream
            return
        forwarded = _Forwarded(self._error_streams.pop(request, 0))
        self._forwarded[frame.stream] = forwarded
        task = asyncio.get_running_loop().create_task(
            self._forward(frame.stream, int(headers["port"]), forwarded)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, stream: int, port: int, forwarded: _Forwarded) -> None:
        failure = b""
        try:
            reader, writer = await asyncio.open_connection(self._address, port)
        except OSError as error:
            where = f"{self._address}:{port}"
            text = (
                f"error forwarding port {port} to pod, uid : failed to connect to {where}: {error.strerror}"
            )
            failure = text.encode()
        else:
            await self._copy(stream, reader, writer, forwarded)
        self._forwarded.pop(stream, None)
        await self._send(spdy.data(stream, b"", last=True))
        if failure:
            await self._send(spdy.data(forwarded.error_stream, failure))
        await self._send(spdy.data(forwarded.error_stream, b"", last=True))

    async def _copy(
        self, stream: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, forwarded: _Forwarded
    ) -> None:
        async def inwards() -> None:
            while (payload := await forwarded.incoming.get()) is not None:
                writer.write(payload)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

        sending = asyncio.ensure_future(inwards())
        try:
            while payload := await reader.read(BLOCK):
                await self._send(spdy.data(stream, payload))
        except ConnectionError as error:
            log.info("port-forward to %s broke: %s", self._address, error)
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sending
            writer.close()

    async def _send(self, frame: bytes) -> None:
        if not self._socket.closed:
            with contextlib.suppress(ConnectionError):
                await self._socket.send_bytes(frame)


async def forward(socket_: web.WebSocketResponse, address: str) -> None:
    """Serve one port-forward session to the ports of `address` until the client leaves."""
    await _Session(socket_, address).run()
