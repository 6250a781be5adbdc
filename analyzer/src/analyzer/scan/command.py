"""`analyzer scan`: picks the sources, runs the engine over them, reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from os import environ
from pathlib import Path
from urllib.parse import urlsplit

from analyzer.engine.detect import Finding, default_engine
from analyzer.engine.privacy import Fingerprinter
from analyzer.scan.coverage import Coverage, Sources
from analyzer.scan.git import GitError, Repository, cloned_bundle, read_commit, read_history
from analyzer.scan.report import Result, write
from analyzer.scan.tree import read_tree


class UsageError(Exception):
    """The command cannot do what it was asked; the message says what to give instead."""


@dataclass(frozen=True)
class ScanRequest:
    """What to scan."""

    path: Path | None = None
    bundle: str | None = None
    commit: str | None = None
    since: str | None = None
    history: bool = False

    def __post_init__(self) -> None:
        if (self.path is None) == (self.bundle is None):
            raise UsageError("give either a path or --bundle")
        if self.commit is None and (self.bundle or self.since or self.history):
            raise UsageError("--bundle, --since and --history need --commit")
        if self.path is not None and not self.path.exists():
            raise UsageError(f"there is no {str(self.path)!r}")

    @property
    def target(self) -> str:
        """Names the source in a report; an address without its query, which may sign it."""
        return urlsplit(self.bundle)._replace(query="").geturl() if self.bundle else str(self.path)


def run(request: ScanRequest, *, as_json: bool, output: Path | None) -> int:
    """Scans, prints, writes `output`, and returns the exit code."""
    result = scan(request, fingerprinter())
    if output is not None:
        write(result, output)
    print(json.dumps(result.as_dict(), indent=1) if as_json else result.as_table(), flush=True)
    return result.exit_code


def fingerprinter() -> Fingerprinter:
    """By ANALYZER_FINGERPRINT_KEY, or one whose fingerprints are comparable within this scan only."""
    key = environ.get("ANALYZER_FINGERPRINT_KEY", "")
    return Fingerprinter(key.encode()) if key else Fingerprinter.ephemeral()


def scan(request: ScanRequest, fingerprint: Fingerprinter) -> Result:
    """What the engine finds in a request's sources. git's failures make the scan incomplete, never clean."""
    coverage = Coverage()
    found: dict[tuple[str, int, str, str], Finding] = {}
    commit = None
    try:
        with _sources(request, coverage) as (commit, sources):
            for source in sources:
                search = default_engine().search(source.content, source.path, fingerprint, source.commit)
                if not search.complete:
                    coverage.not_scanned.append(f"{source.path}: too many candidates; searched in part only")
                for finding in search.findings:
                    key = (finding.path, finding.line, finding.rule, finding.fingerprint)
                    found.setdefault(key, finding)
    except GitError as error:
        coverage.not_scanned.append(f"{request.target}: {error}")
    if not coverage.files and not coverage.not_scanned:
        coverage.not_scanned.append(f"{request.target}: there is no file to scan")
    return Result(request.target, commit or request.commit, tuple(found.values()), coverage)


@contextmanager
def _sources(request: ScanRequest, coverage: Coverage) -> Iterator[tuple[str | None, Sources]]:
    if request.commit is None:
        assert request.path is not None
        yield None, read_tree(request.path, coverage)
        return
    with _repository(request) as repository:
        commit = repository.commit_id(request.commit)
        sources = read_commit(repository, commit, coverage)
        if request.since or request.history:
            since = repository.commit_id(request.since) if request.since else None
            sources = chain(sources, read_history(repository, commit, since, coverage))
        yield commit, sources


@contextmanager
def _repository(request: ScanRequest) -> Iterator[Repository]:
    if request.bundle is not None:
        with cloned_bundle(request.bundle) as repository:
            yield repository
        return
    assert request.path is not None
    yield Repository(request.path)
