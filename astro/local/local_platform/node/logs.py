"""Container logs as `kubectl logs` asks for them, out of the shim's log files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from local_platform.node.container import Attempt

POLL = 0.1
BLOCK = 1 << 16


@dataclass(frozen=True)
class LogRequest:
    """Which part of a log: `since` is a timestamp in the log's own form, the other fields as in
    PodLogOptions.
    """

    follow: bool = False
    tail: int | None = None
    since: str = ""
    timestamps: bool = False
    limit: int | None = None
    stream: str = "All"


async def read_log(attempt: Attempt, request: LogRequest, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """The log's text; with `follow` until `ended` is set and everything was read."""
    sent = 0
    async for line in _entries(attempt.log, request, ended):
        text = _render(line, request)
        if request.limit is not None:
            text = text[: request.limit - sent]
        sent += len(text)
        if text:
            yield text
        if request.limit is not None and sent >= request.limit:
            return


async def _entries(path: Path, request: LogRequest, ended: asyncio.Event) -> AsyncIterator[bytes]:
    offset = tail_offset(path, request.tail) if request.tail is not None else 0
    rest = b""
    while True:
        last_look = ended.is_set() or not request.follow
        while block := _read(path, offset):
            offset += len(block)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield line
        if last_look:
            return
        try:
            await asyncio.wait_for(ended.wait(), POLL)
        except TimeoutError:
            continue


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(BLOCK)
    except FileNotFoundError:
        return b""


def _render(line: bytes, request: LogRequest) -> bytes:
    time, stream, mark, text = [*line.split(b" ", 3), b""][:4]
    if request.since and time.decode() < request.since:
        return b""
    if request.stream != "All" and stream.decode() != request.stream.lower():
        return b""
    end = b"\n" if mark == b"F" else b""
    return (time + b" " if request.timestamps else b"") + text + end


def tail_offset(path: Path, lines: int) -> int:
    """Where the last `lines` lines of a file begin, in bytes; a silent container has no file."""
    if not path.exists():
        return 0
    end = path.stat().st_size
    if lines <= 0:
        return end
    wanted = lines + 1
    with path.open("rb") as file:
        position, seen = end, 0
        while position > 0:
            start = max(0, position - BLOCK)
            file.seek(start)
            block = file.read(position - start)
            for index in range(len(block) - 1, -1, -1):
                if block[index] == 10:
                    seen += 1
                    if seen == wanted:
                        return start + index + 1
            position = start
    return 0
