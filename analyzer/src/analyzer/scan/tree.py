"""Reads the files of a folder without following anything out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from analyzer.scan.coverage import Coverage
from analyzer.scan.source import BLOCK, MAX_BYTES, Item, Reader, Skipped, Unreadable, printable


@dataclass(frozen=True)
class Tree:
    """Every regular file below a folder, or one file. `.git` folders are left to the git sources."""

    root: Path
    coverage: Coverage
    excluded: Sequence[str] = ()
    """Patterns of paths, relative to the root, that the caller does not want scanned."""
    largest: int = MAX_BYTES
    chunk: int = 64

    def items(self) -> Iterator[Item]:
        """In the order of their names, folder by folder."""
        if not self.root.is_dir():
            yield Item(printable(self.root.name), str(self.root))
            return
        waiting = [str(self.root)]
        while waiting:
            folders = []
            for entry in self._entries(waiting.pop()):
                path = os.path.relpath(entry.path, self.root)
                if entry.is_symlink():
                    self.coverage.skipped["symbolic link"] += 1
                elif any(fnmatch(path, pattern) for pattern in self.excluded):
                    self.coverage.skipped["excluded"] += 1
                elif not entry.is_dir(follow_symlinks=False):
                    yield Item(printable(path), entry.path)
                elif entry.name == ".git":
                    self.coverage.skipped[".git folder"] += 1
                else:
                    folders.append(entry.path)
            waiting.extend(reversed(folders))

    def how_many(self) -> int:
        """By a walk of its own."""
        return sum(1 for _ in replace(self, coverage=Coverage()).items())

    def reader(self) -> AbstractContextManager[Reader]:
        """Opens files itself, so that every worker reads its own."""
        return nullcontext(FileReader(self.largest))

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            shown = printable(os.path.relpath(folder, self.root))
            self.coverage.not_scanned.append(f"{shown}: {error.strerror}")
            return []


@dataclass(frozen=True)
class FileReader:
    """Reads regular files up to the size they had when they were opened."""

    largest: int = MAX_BYTES

    def expect(self, items: Sequence[Item]) -> None:
        """Nothing to prepare."""

    def pieces(self, item: Item) -> Iterator[bytes]:
        """The file's content. A file that changes its size meanwhile is `Unreadable` after what was read."""
        with open(_opened(item.place), "rb", buffering=0) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise Skipped("special file")
            if facts.st_size > self.largest:
                raise Unreadable(f"larger than {self.largest} bytes")
            left = facts.st_size
            try:
                while left and (piece := file.read(min(left, BLOCK))):
                    left -= len(piece)
                    yield piece
                grew = not left and file.read(1)
            except OSError as error:
                raise Unreadable(error.strerror or "cannot be read") from None
        if left or grew:
            raise Unreadable(f"it {'shrank' if left else 'grew'} while it was read: scan it again at rest")


def _opened(place: str) -> int:
    try:
        # Without O_NONBLOCK opening a FIFO waits for a writer for ever.
        return os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        try:
            mode = os.lstat(place).st_mode
        except OSError:
            raise Unreadable("it vanished during the scan") from None
        if stat.S_ISLNK(mode):
            raise Skipped("symbolic link") from None
        if not stat.S_ISREG(mode):
            raise Skipped("special file") from None
        raise Unreadable(error.strerror or "cannot be opened") from None


@dataclass(frozen=True)
class Stream:
    """Standard input, or another open file descriptor, read to its end once."""

    descriptor: int
    largest: int = MAX_BYTES
    name: str = "standard input"
    chunk: int = 1
    _read: list[bool] = field(default_factory=list)

    def items(self) -> Iterator[Item]:
        """The stream alone."""
        yield Item(self.name, str(self.descriptor))

    def how_many(self) -> int:
        """The stream alone."""
        return 1

    def reader(self) -> AbstractContextManager[Reader]:
        """The worker inherits the descriptor."""
        return nullcontext(self)

    def expect(self, items: Sequence[Item]) -> None:
        """Nothing to prepare."""

    def pieces(self, item: Item) -> Iterator[bytes]:
        """What comes until the end; `Unreadable` beyond `largest` bytes, for some streams never end."""
        if self._read:
            raise Unreadable("it can be read only once")
        self._read.append(True)
        left = self.largest
        while piece := os.read(self.descriptor, min(BLOCK, left + 1)):
            if len(piece) > left:
                yield piece[:left]
                raise Unreadable(f"larger than {self.largest} bytes; what came before was scanned")
            left -= len(piece)
            yield piece
