"""What is scanned: items that name a content, readers that fetch it, blocks that hold part of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

BLOCK = 4 * 1024 * 1024
"""Bytes that are held of one content at a time."""
OVERLAP = 64 * 1024
"""Bytes that a block repeats of the one before: a value over several lines is whole in one of them."""
MAX_BYTES = 256 * 1024 * 1024
"""A content larger than this is not scanned, and the scan is incomplete."""

_LONGEST_LINE = 4 * BLOCK
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


@dataclass(frozen=True)
class Item:
    """One content, before it is read."""

    path: str
    """As reports show it: always printable as UTF-8."""
    place: str
    """Where its reader finds it: a path in the file system, or the id of a git blob."""
    of_history: bool = False
    """Whether the commit that brought it is worth a search, once it holds a finding."""


@dataclass(frozen=True)
class Block:
    """Part of a content that begins at the start of a line (unless a line is longer than a block)."""

    content: bytes
    first_line: int


class Skipped(Exception):
    """The item is left out on purpose; the message is the reason that coverage counts."""


class Unreadable(Exception):
    """The item should have been scanned and cannot be; the message says why."""


class Reader(Protocol):
    """Fetches the contents of items."""

    def expect(self, items: Sequence[Item]) -> None:
        """Says which items are read next, in this order, so that they can be asked for at once."""
        ...

    def pieces(self, item: Item) -> Iterator[bytes]:
        """The content in pieces of any size. Raises `Skipped` or `Unreadable`, also after some pieces."""
        ...


class Source(Protocol):
    """Where items come from. `reader` is opened in each worker."""

    @property
    def chunk(self) -> int:
        """Items that a worker is given at once: enough that talking, or a process of git, costs little."""
        ...

    def items(self) -> Iterator[Item]:
        """Everything to scan, in a stable order."""
        ...

    def how_many(self) -> int | None:
        """The number of items, where listing them twice is possible; for a progress bar."""
        ...

    def reader(self) -> AbstractContextManager[Reader]:
        """A reader of this source's items."""
        ...


def printable(path: str) -> str:
    """A path whose bytes need not be UTF-8, as text that can be written anywhere."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def blocks_of_lines(pieces: Iterator[bytes]) -> Iterator[Block]:
    """Joins pieces to blocks that end at a line's end and overlap by `OVERLAP` bytes.

    What came before a piece that is `Unreadable` is yielded first.
    """
    held: bytes | bytearray = b""
    line, mark, trouble = 1, b"", None
    while True:
        try:
            piece = next(pieces, b"")
        except Unreadable as error:
            piece, trouble = b"", error
        if not piece:
            break
        if not held and line == 1 and piece[:2] in _UTF16:
            mark = piece[:2]
        # Most contents are one piece, which is handed on without a copy.
        held = _joined(held, piece)
        while len(held) >= BLOCK and (end := _end_of_line(held, mark)):
            yield Block(_with_mark(bytes(held[:end]), mark), line)
            kept = _start_of_overlap(held, end, mark)
            line += _newlines(held[:kept], mark)
            held = held[kept:]
    yield Block(_with_mark(bytes(held), mark), line)
    if trouble is not None:
        raise trouble


def _joined(held: bytes | bytearray, piece: bytes) -> bytes | bytearray:
    if not held:
        return piece
    grown = held if isinstance(held, bytearray) else bytearray(held)
    grown += piece
    return grown


def _end_of_line(held: bytes | bytearray, mark: bytes) -> int:
    """Where the block ends: after its last newline, or anywhere in a line that is too long; 0: read on."""
    end = held.rfind(b"\n") + 1
    if mark and end:
        end += end % 2
    if end > OVERLAP * 2:
        return min(end, len(held))
    return len(held) - len(held) % 2 if len(held) >= _LONGEST_LINE else 0


def _start_of_overlap(held: bytes | bytearray, end: int, mark: bytes) -> int:
    start = held.find(b"\n", end - OVERLAP, end) + 1
    if not start or start >= end:
        return end - OVERLAP
    return start + start % 2 if mark else start


def _newlines(part: bytes | bytearray, mark: bytes) -> int:
    if mark:
        return part.decode(_UTF16[mark], errors="replace").count("\n")
    return part.count(b"\n")


def _with_mark(content: bytes, mark: bytes) -> bytes:
    return content if not mark or content.startswith(mark) else mark + content
