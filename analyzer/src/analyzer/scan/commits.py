"""What git holds: the tree of a commit, what commits brought, what is staged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch

from analyzer.scan.blobs import blob_reader
from analyzer.scan.coverage import Coverage
from analyzer.scan.git import GitError, Repository
from analyzer.scan.source import MAX_BYTES, Item, Reader, printable

_LINK, _SUBMODULE = "120000", "160000"


@dataclass(frozen=True)
class Blobs(ABC):
    """What the git sources share."""

    repository: Repository
    coverage: Coverage
    excluded: tuple[str, ...] = ()
    largest: int = MAX_BYTES
    seen: set[bytes] = field(default_factory=set)
    """Ids of the blobs of trees, shared by the sources of one scan: the history does not read them again."""

    chunk: int = 768
    """A chunk costs a process; the ids of more would not fit into its pipe where they are SHA-256."""

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """The blobs to scan."""

    def how_many(self) -> int | None:
        """By a listing of its own; None where git fails, which the scan itself then tells."""
        try:
            return sum(1 for _ in replace(self, coverage=Coverage(), seen=set(self.seen)).items())
        except GitError:
            return None

    def reader(self) -> AbstractContextManager[Reader]:
        """A process of git for each worker, so that contents do not pass through the parent."""
        return blob_reader(self.repository, self.largest)

    def _wanted(self, path: str) -> bool:
        if any(fnmatch(path, pattern) for pattern in self.excluded):
            self.coverage.skipped["excluded"] += 1
            return False
        return True

    def _entry(self, mode: str, blob: str, path: str) -> Iterator[Item]:
        if mode == _SUBMODULE:
            self.coverage.skipped["submodule"] += 1
            return
        if mode == _LINK:
            # Its blob is read all the same: it holds the path that the link names.
            self.coverage.skipped["symbolic link"] += 1
        if self._wanted(path):
            self.seen.add(bytes.fromhex(blob))
            yield Item(printable(path), blob)


@dataclass(frozen=True)
class CommitTree(Blobs):
    """The files of the tree of one commit."""

    commit: str = "HEAD"

    def items(self) -> Iterator[Item]:
        """In the order of the tree. Raises `GitError` for a tree that is not whole."""
        self.coverage.commits += 1
        for record in self.repository.records("ls-tree", "-r", "-z", "--full-tree", self.commit, end="\0"):
            meta, _, path = record.partition("\t")
            mode, _, blob = meta.split(" ")
            yield from self._entry(mode, blob, path)


@dataclass(frozen=True)
class History(Blobs):
    """Every blob, once, that commits brought."""

    revisions: tuple[str, ...] = ()
    """Arguments of `git rev-list` that pick the commits."""

    def items(self) -> Iterator[Item]:
        """In the order in which `git rev-list` meets them, which is near to how packs lie."""
        self.coverage.commits += int(self.repository.output("rev-list", "--count", *self.revisions))
        listed = self.repository.records(
            "rev-list", "--objects", "--missing=print",
            "--filter=object:type=blob", "--filter-provided-objects", *self.revisions, end="\n",
        )  # fmt: skip
        for record in listed:
            blob, _, path = record.partition(" ")
            if blob.startswith("?"):
                self.coverage.not_scanned.append(f"object {blob[1:]} is missing")
            elif bytes.fromhex(blob) not in self.seen and self._wanted(path):
                # git names each blob once by itself; a set of all of them would cost memory.
                yield Item(printable(path), blob, of_history=True)

    def origins(self, blobs: Collection[str]) -> dict[str, str]:
        """The oldest commit that brought each of these blobs, where one is found; the oldest first."""
        wanted, origin = set(blobs), dict[str, str]()
        commits = self.repository.output("rev-list", "--topo-order", "--reverse", *self.revisions)
        fields = self.repository.records(
            "diff-tree", "--stdin", "-r", "-m", "--root", "-z", "--no-renames", "--no-ext-diff",
            "--no-textconv", end="\0", given=commits,
        )  # fmt: skip
        commit = ""
        for record in fields:
            if not record.startswith(":"):
                commit = record.partition(" ")[0]
                continue
            next(fields)
            blob = record.split(" ")[3]
            if blob in wanted:
                wanted.discard(blob)
                origin[blob] = commit
                if not wanted:
                    break
        return origin


@dataclass(frozen=True)
class Staged(Blobs):
    """What the index holds and HEAD does not: what a commit would bring."""

    def items(self) -> Iterator[Item]:
        """In the order of their paths."""
        against = "HEAD" if self.repository.has_commits() else self._empty_tree()
        fields = self.repository.records(
            "diff-index", "--cached", "-r", "-z", "--no-renames", "--diff-filter=d", "--no-ext-diff", against,
            end="\0",
        )  # fmt: skip
        for meta in fields:
            _, mode, _, blob, _ = meta.split(" ")
            yield from self._entry(mode, blob, next(fields))

    def _empty_tree(self) -> str:
        return self.repository.output("hash-object", "-t", "tree", "/dev/null").strip()


def require_whole(repository: Repository, *, allow_shallow: bool) -> None:
    """Raises `GitError` for a shallow clone: what was cut off would pass as clean."""
    if not allow_shallow and repository.is_shallow():
        raise GitError(
            "the clone is shallow, so its history is not all there; "
            "clone it whole, or say --allow-shallow to scan what there is"
        )
