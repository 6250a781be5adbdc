"""Reads git blobs by a `git cat-file --batch` that is asked for many at once."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from analyzer.scan.git import Repository, command, environment
from analyzer.scan.source import BLOCK, Item, Unreadable


@dataclass
class BlobReader:
    """Answers come in the order of the questions, so blobs are read in the order of `expect`."""

    repository: Repository
    largest: int
    _asked: deque[str] = field(default_factory=deque)
    _process: subprocess.Popen[bytes] | None = None

    def expect(self, items: Sequence[Item]) -> None:
        """Asks for all of them; the ids of a chunk fit into the pipe, so this never waits."""
        self._asked.extend(item.place for item in items)
        self._ask(item.place for item in items)

    def pieces(self, item: Item) -> Iterator[bytes]:
        """The blob's content; `Unreadable` for one that is missing, broken or too large."""
        if self._asked.popleft() != item.place:
            raise ValueError("blobs are read in the order of expect()")
        size = self._header(item.place)
        left = size
        try:
            while left and size <= self.largest:
                if not (piece := self._answers.read(min(left, BLOCK))):
                    break
                left -= len(piece)
                yield piece
        finally:
            if self._drained(left):
                left = 0
        if size > self.largest:
            raise Unreadable(f"larger than {self.largest} bytes")
        if left:
            raise Unreadable(f"object {item.place} is broken")

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _header(self, blob: str) -> int:
        match self._answers.readline().split():
            case [_, b"blob", size]:
                return int(size)
            case []:
                self._restart()
                raise Unreadable(f"object {blob} is broken")
            case _:
                raise Unreadable(f"object {blob} is missing, broken or no blob")

    @property
    def _answers(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def _drained(self, left: int) -> bool:
        """Reads to the end of the current answer. False when git died on the way: it is started again."""
        while left and (piece := self._answers.read(min(left, BLOCK))):
            left -= len(piece)
        if not left and self._answers.read(1) == b"\n":
            return True
        self._restart()
        return False

    def _ask(self, blobs: Iterator[str] | Sequence[str]) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                command("cat-file", "--batch", folder=self.repository.path),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(),
            )  # fmt: skip
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("".join(f"{blob}\n" for blob in blobs).encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            # It died of an earlier blob, which the next header tells.
            return

    def _restart(self) -> None:
        """After git died of one object, the others of the chunk are asked for again."""
        self.close()
        self._ask(tuple(self._asked))


@contextmanager
def blob_reader(repository: Repository, largest: int) -> Iterator[BlobReader]:
    """A reader whose process ends with it."""
    reader = BlobReader(repository, largest)
    try:
        yield reader
    finally:
        reader.close()
