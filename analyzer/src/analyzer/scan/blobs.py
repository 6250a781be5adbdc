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
    """Answers come in the order of the questions, so blobs are read in the order of `expect`.

    Each chunk has a process of its own, whose input is closed: for some damaged objects git announces more
    bytes than it gives, and then only the end of its output tells.
    """

    repository: Repository
    largest: int
    _asked: deque[str] = field(default_factory=deque)
    _process: subprocess.Popen[bytes] | None = None

    def expect(self, items: Sequence[Item]) -> None:
        """Asks for all of them; the ids of a chunk fit into the pipe, so this never waits."""
        self._asked = deque(item.place for item in items)
        self._ask()

    def pieces(self, item: Item) -> Iterator[bytes]:
        """The blob's content; `Unreadable` for one that is missing, broken or too large."""
        if self._asked.popleft() != item.place:
            raise ValueError("blobs are read in the order of expect()")
        left = size = self._header(item.place)
        try:
            while left and size <= self.largest:
                piece = self._piece(item.place, left)
                left -= len(piece)
                yield piece
        finally:
            # Whoever stops early, the next answer begins after this one.
            while left:
                left -= len(self._piece(item.place, left))
        if not size:
            self._answers.read(1)
        if size > self.largest:
            raise Unreadable(f"larger than {self.largest} bytes")

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._answers.close()
            self._process.wait()
            self._process = None

    @property
    def _answers(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def _header(self, blob: str) -> int:
        match self._answers.readline().split():
            case [_, b"blob", size]:
                return int(size)
            case [_, b"missing"]:
                raise Unreadable(f"object {blob} is missing or broken")
            case _:
                self._ask()
                raise Unreadable(f"object {blob} is broken")

    def _piece(self, blob: str, left: int) -> bytes:
        """The next bytes of an answer, the last of them only where the answer ends as announced."""
        piece = self._answers.read(min(left, BLOCK))
        if len(piece) < min(left, BLOCK) or (len(piece) == left and self._answers.read(1) != b"\n"):
            self._ask()
            raise Unreadable(f"object {blob} is broken")
        return piece

    def _ask(self) -> None:
        """Asks for what is still to come of the chunk, by a new process."""
        self.close()
        self._process = subprocess.Popen(
            command("cat-file", "--batch", "--buffer", folder=self.repository.path),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(),
        )  # fmt: skip
        assert self._process.stdin is not None
        try:
            with self._process.stdin as questions:
                questions.write("".join(f"{blob}\n" for blob in self._asked).encode())
        except BrokenPipeError:
            # git ended before it was asked, so the first header is empty, which is reported.
            return


@contextmanager
def blob_reader(repository: Repository, largest: int) -> Iterator[BlobReader]:
    """A reader whose process ends with it."""
    reader = BlobReader(repository, largest)
    try:
        yield reader
    finally:
        reader.close()
