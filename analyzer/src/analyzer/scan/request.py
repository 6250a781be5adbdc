"""What to scan, and the sources that come of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

from analyzer.engine.second_opinion import SecondOpinion
from analyzer.scan.bundle import cloned_bundle
from analyzer.scan.commits import CommitTree, History, Staged, require_whole
from analyzer.scan.coverage import Coverage
from analyzer.scan.git import Repository
from analyzer.scan.source import MAX_BYTES, Source
from analyzer.scan.tree import Stream, Tree


class UsageError(Exception):
    """The command cannot do what it was asked; the message says what to give instead."""


@dataclass(frozen=True)
class ScanRequest:
    """One scan: files on disk, standard input (`-`), or what git holds."""

    path: str | None = None
    bundle: str | None = None
    commit: str | None = None
    since: str | None = None
    history: bool = False
    staged: bool = False
    allow_shallow: bool = False
    excluded: tuple[str, ...] = ()
    largest: int = MAX_BYTES

    def __post_init__(self) -> None:
        if self.path and self.bundle:
            raise UsageError("give either a path or --bundle")
        if not (self.path or self.bundle or self.of_git):
            raise UsageError("say what to scan: a path, - for standard input, or --bundle")
        if self.bundle and not self.commit:
            raise UsageError("--bundle needs --commit")
        if self.staged and (self.bundle or self.commit or self.since or self.history):
            raise UsageError("--staged stands alone")
        if self.since and self.history:
            raise UsageError("give either --since or --history")
        if self.path == "-" and self.of_git:
            raise UsageError("standard input has no commits")
        if self.path not in (None, "-") and not Path(str(self.path)).exists():
            raise UsageError(f"there is no {self.path!r}")

    @property
    def of_git(self) -> bool:
        """Whether git is asked instead of the file system."""
        return bool(self.commit or self.since or self.history or self.staged)

    @property
    def target(self) -> str:
        """Names the source in a report; an address without what may sign it."""
        if self.bundle is None:
            return "standard input" if self.path == "-" else self.path or "."
        parts = urlsplit(self.bundle)
        return parts._replace(query="", netloc=parts.hostname or "").geturl() if parts.netloc else self.bundle


@dataclass(frozen=True)
class Plan:
    """The sources of a request, which are scanned one after the other."""

    sources: Sequence[Source]
    commit: str | None = None
    history: History | None = None
    """The one among them whose findings belong to commits."""


class _Shared(TypedDict):
    """What all git sources of one request are made with."""

    repository: Repository
    coverage: Coverage
    excluded: tuple[str, ...]
    largest: int
    seen: set[bytes]


@contextmanager
def planned(request: ScanRequest, coverage: Coverage) -> Iterator[Plan]:
    """Opens what the request names. Raises `GitError` where git cannot."""
    if request.path == "-":
        # None where the process began without one.
        if sys.stdin is None:
            raise UsageError("standard input is closed: give it something to read, or name a path")
        yield Plan([Stream(sys.stdin.fileno(), request.largest)])
    elif not request.of_git:
        root = Path(request.path or ".")
        yield Plan(
            [Tree(root.resolve() if root.is_symlink() else root, coverage, request.excluded, request.largest)]
        )
    elif request.bundle is not None:
        with cloned_bundle(request.bundle) as repository:
            yield _of_commits(request, repository, coverage)
    else:
        yield _of_commits(request, Repository(Path(request.path or ".")), coverage)


def _of_commits(request: ScanRequest, repository: Repository, coverage: Coverage) -> Plan:
    shared = _Shared(
        repository=repository,
        coverage=coverage,
        excluded=request.excluded,
        largest=request.largest,
        seen=set(),
    )
    if request.staged:
        repository.output("rev-parse", "--git-dir")
        return Plan([Staged(**shared)])
    if request.history or request.since:
        require_whole(repository, allow_shallow=request.allow_shallow)
    commit = repository.commit_id(request.commit or "HEAD") if request.commit or request.since else None
    history = None
    if request.history or request.since:
        without = ("--not", repository.commit_id(request.since)) if request.since else ()
        history = History(**shared, revisions=(commit, *without) if commit else _every_ref(repository))
    tree = CommitTree(**shared, commit=commit or "") if request.commit else None
    return Plan([source for source in (tree, history) if source], commit, history)


def _every_ref(repository: Repository) -> tuple[str, ...]:
    return ("--all", "HEAD") if repository.has_commits() else ("--all",)


def second_opinion() -> SecondOpinion | None:
    """As the variables ANALYZER_SECOND_OPINION_… say; `UsageError` where they cannot be used."""
    try:
        return SecondOpinion.from_environment(environ)
    except ValueError as error:
        raise UsageError(str(error)) from None


def fingerprint_key() -> bytes:
    """ANALYZER_FINGERPRINT_KEY; empty where it is not set."""
    return environ.get("ANALYZER_FINGERPRINT_KEY", "").encode()
