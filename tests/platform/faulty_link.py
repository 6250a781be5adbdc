"""A relay on loopback to one server, whose connections can be made slow, be reset, or hang half open."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

SLOW = 2.0
"""Seconds that each piece of data takes longer."""


class Fault(StrEnum):
    NONE = "none"
    SLOW = "slow"
    RESETTING = "resetting"
    """Open connections and new ones are reset."""
    HALF_OPEN = "half open"
    """Connections are accepted and stay open, and nothing comes through: a peer that vanished."""


class FaultyLink:
    """Relays `address` of this link to `server`; `fault` may change at any time."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener: asyncio.Server | None = None
        self._fault = Fault.NONE
        self._fine = asyncio.Event()
        self._fine.set()
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        assert self._listener is not None
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        if fault is Fault.HALF_OPEN:
            self._fine.clear()
        else:
            self._fine.set()
        if fault is Fault.RESETTING:
            for writer in tuple(self._open):
                _reset(writer)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[FaultyLink]:
        self._listener = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._listener.close()
            self.fault = Fault.NONE
            for writer in tuple(self._open):
                _reset(writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._fault is Fault.RESETTING:
                return _reset(writer)
            await self._fine.wait()
            there, back = await asyncio.open_connection(*self._server)
        except OSError:
            return _reset(writer)
        finally:
            self._open.discard(writer)
        self._open |= {writer, back}
        await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))
        return None

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if self._fault is Fault.SLOW:
                    await asyncio.sleep(SLOW)
                await self._fine.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # Either end went away: the other one learns it by the close.
        finally:
            self._open.discard(writer)
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, not FIN."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
