"""`analyzer scan`: picks the sources, runs the engine over them, reports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

from analyzer.engine.second_opinion import SecondOpinion
from analyzer.scan import baseline, engine, suppressions
from analyzer.scan.commits import History
from analyzer.scan.coverage import Coverage
from analyzer.scan.engine import Fingerprinter
from analyzer.scan.git import GitError
from analyzer.scan.pool import PATIENCE, Pool, usable_processors
from analyzer.scan.progress import Progress
from analyzer.scan.report import LISTED, Result, write
from analyzer.scan.request import ScanRequest, UsageError, fingerprint_key, planned, second_opinion
from analyzer.scan.sarif import as_sarif
from analyzer.scan.source import Item, Source
from analyzer.scan.triage import Triage
from analyzer.scan.worker import Hit, Worker

__all__ = ["Options", "ScanRequest", "UsageError", "run", "scan"]

MOST_JOBS = 4


@dataclass(frozen=True)
class Options:
    """How to scan and what to do with the result."""

    form: str = "table"
    """`table`, `json`, `sarif` or `summary`."""
    output: Path | None = None
    baseline: Path | None = None
    write_baseline: Path | None = None
    suppressions: Path | None = None
    honour_inline: bool = False
    jobs: int = 0
    """Worker processes; 0: as many as there are processors, at most `MOST_JOBS`."""
    listed: int = LISTED
    patience: float = PATIENCE
    opinion: SecondOpinion | None = field(default_factory=second_opinion)
    """Who is asked about uncertain candidates, masked."""
    today: date = field(default_factory=lambda: datetime.now(UTC).date())


def run(request: ScanRequest, options: Options) -> int:
    """Scans, prints, writes what was asked for, and returns the exit code."""
    key = fingerprint_key()
    if not key and (options.baseline or options.write_baseline):
        raise UsageError("a baseline needs a key that stays the same: set ANALYZER_FINGERPRINT_KEY")
    fingerprint = Fingerprinter(key) if key else Fingerprinter.ephemeral()
    triage = _triage(options, fingerprint)
    result = scan(request, options, fingerprint, triage)
    # First what needs no file: a place that cannot be written to must not cost the result.
    print(_text(result, options.form, options), flush=True)
    _write_files(result, options, fingerprint.key_id)
    return result.exit_code


def _write_files(result: Result, options: Options, key_id: str) -> None:
    """The files that were asked for. Raises `UsageError` where one cannot be written."""
    try:
        if options.write_baseline is not None:
            count = baseline.write(options.write_baseline, key_id, result.model_version, result.findings)
            print(f"{options.write_baseline}: {count} fingerprints", file=sys.stderr)
        if options.output is not None:
            as_file = "sarif" if options.output.suffix == ".sarif" else "json"
            write(_text(result, as_file, options), options.output)
    except OSError as error:
        raise UsageError(f"{error.filename2 or error.filename} cannot be written: {error.strerror}") from None


def scan(request: ScanRequest, options: Options, fingerprint: Fingerprinter, triage: Triage) -> Result:
    """What the engine finds in a request's sources. git's failures make the scan incomplete, never clean."""
    coverage, hits, commit = Coverage(), list[Hit](), request.commit
    loaded, jobs = engine.load(options.opinion), options.jobs or min(MOST_JOBS, usable_processors())
    worker = Worker(loaded, fingerprint, options.honour_inline)
    try:
        with planned(request, coverage) as plan:
            commit = plan.commit or commit
            for source in plan.sources:
                pool = Pool(worker, source, jobs, options.patience)
                hits += _scanned(pool, source, coverage, request.target)
            if plan.history is not None:
                hits = _with_commits(hits, plan.history)
    except GitError as error:
        coverage.not_scanned.append(f"{request.target}: {error}")
    nothing = not coverage.files and not coverage.not_scanned
    if nothing and not request.staged and not request.since:
        coverage.not_scanned.append(f"{request.target}: there is no file to scan")
    reported, suppressed = triage.sorted(_distinct(hits))
    unused = tuple(entry.what for entry in triage.unused())
    return Result(request.target, commit, loaded.model_version, reported, suppressed, coverage, unused)


def _triage(options: Options, fingerprint: Fingerprinter) -> Triage:
    try:
        known = baseline.read(options.baseline, fingerprint.key_id) if options.baseline else None
        entries = suppressions.read(options.suppressions) if options.suppressions else ()
    except (baseline.BaselineError, suppressions.SuppressionsError) as error:
        raise UsageError(str(error)) from None
    return Triage(options.today, known, entries)


def _scanned(pool: Pool, source: Source, coverage: Coverage, target: str) -> list[Hit]:
    """The hits of one source; `coverage` grows meanwhile."""
    hits: list[Hit] = []
    progress = Progress()
    if progress.is_visible():
        before = coverage.files + len(coverage.not_scanned)
        progress.total = before + (source.how_many() or 0)
    for part in pool.scan(_listed(source, coverage, target)):
        coverage.add(part.coverage)
        hits += part.hits
        progress.show(coverage, len(hits))
    progress.clear()
    return hits


def _listed(source: Source, coverage: Coverage, target: str) -> Iterator[Item]:
    """The items that could be listed. Where git fails on the way, what it had listed is scanned."""
    try:
        yield from source.items()
    except GitError as error:
        coverage.not_scanned.append(f"{target}: {error}")


def _with_commits(hits: list[Hit], history: History) -> list[Hit]:
    """Hits with the oldest commit that brought their blob; it is searched for those of the history only."""
    blobs = {hit.item.place for hit in hits if hit.item.of_history}
    origin = history.origins(blobs) if blobs else {}
    age = {blob: number for number, blob in enumerate(origin)}
    placed = [
        replace(hit, finding=replace(hit.finding, commit=origin.get(hit.item.place)))
        if hit.item.of_history
        else hit
        for hit in hits
    ]
    # The files of a tree come first, then blobs from the oldest on, so that the first hit of a value stays.
    placed.sort(key=lambda hit: age.get(hit.item.place, len(age)) if hit.item.of_history else -1)
    return placed


def _distinct(hits: list[Hit]) -> Iterator[Hit]:
    """In a history the same value in the same path is one finding, on whichever lines it stood meanwhile."""
    seen = set[tuple[object, ...]]()
    for hit in hits:
        finding = hit.finding
        value = (finding.path, finding.rule, finding.fingerprint)
        known = value in seen if hit.item.of_history else (*value, finding.line) in seen
        seen |= {value, (*value, finding.line)}
        if not known:
            yield hit


def _text(result: Result, form: str, options: Options) -> str:
    match form:
        case "json":
            return result.as_json(options.listed)
        case "sarif":
            return as_sarif(result)
        case "summary":
            return result.summary()
        case _:
            return result.as_table()
