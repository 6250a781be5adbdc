"""The table of `make bench-analyzer`: each figure that the analyzer is to reach, measured with its peers.

    python analyzer/benches/bench_analyzer.py [--data SET]... [--train LINES] [--tree FOLDER]

Exit code 1: a row falls short of its reach, or could not be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bench_labelled
import bench_scan
import bench_service

from analyzer.engine.classifier import packaged_classifier
from analyzer.training.__main__ import SEEDS
from analyzer.training.report import figures, train
from analyzer.training.rows import BadRows, read_rows
from analyzer.training.write import model_document

TRAIN = Path(__file__).parents[3] / "shared" / "data" / "secret-contexts" / "train.jsonl.gz"
REACH_F1 = {"files": (0.85, 0.95), "lines, CredData part": (0.80, 0.0), "lines, all": (0.85, 0.0)}
"""The least F1, and the least precision that it counts with."""
TIMES_GITLEAKS, LEAST_MB, LEAST_COMMITS, MOST_RSS = 3.0, 30.0, 200.0, 150.0
SECONDS = 30
"""How long the service is asked."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    reach: str
    figure: str
    holds: bool | None = None
    """None where there is nothing to reach, or nothing to measure it with (the figure says which)."""
    measured: bool = True

    def __str__(self) -> str:
        said = {True: "holds", False: "falls short", None: "" if self.measured else "not measured"}
        return f"{self.what:<40} {self.reach:<30} {said[self.holds]:<13} {self.figure}"


def labelled_rows(sets: list[Path], bin: Path, scratch: Path) -> Iterator[Row]:
    """F1 on the sets that are named; without any, what is missing."""
    if not sets:
        for what, (f1, precision) in REACH_F1.items():
            at = f" at P >= {precision:.2f}" if precision else ""
            yield Row(f"held aside: {what}", f"F1 >= {f1:.2f}{at}", "no set is named by DATA=")
    for number, data in enumerate(sets):
        folder = scratch / f"set-{number}"
        folder.mkdir()
        for result in bench_labelled.compared(data, bin, folder):
            f1, precision = REACH_F1[result.what]
            holds = result.ours.f1 >= f1 and result.ours.precision >= precision
            at = f" at P >= {precision:.2f}" if precision else ""
            yield Row(f"held aside: {result.what}", f"F1 >= {f1:.2f}{at}", str(result.ours), holds)
            for peer, score in result.peers.items():
                yield Row(f"  {peer}", "", str(score))


def validated_rows(data: Path) -> Iterator[Row]:
    """The grouped cross-validation, carried out, and whether training gives the model that is committed."""
    what = "grouped cross-validation"
    if not data.exists():
        yield Row(what, "stated with its spread", "no labelled lines: name them by TRAIN=")
        return
    model, outcomes, _ = train(read_rows(data), SEEDS)
    precision, recall, f1, average, error = figures(outcomes, model.threshold, lambda _: True)
    yield Row(what, "stated with its spread", f"F1 {f1}, P {precision}, R {recall}")
    yield Row("  average precision, calibration error", "", f"{average}, {error}")
    packaged = packaged_classifier().version
    same = packaged.encode() in model_document(model)
    yield Row("  training gives the committed model", "byte by byte", packaged, same)


def scan_rows(tree: Path, bin: Path, scratch: Path) -> Iterator[Row]:
    """Speed on a tree and on a history, and the memory of both."""
    runs = {(run.name, run.what): run for run in bench_scan.tree_rows(tree, bin, scratch)}
    repository = bench_scan.generated_history(scratch / "history.git")
    runs |= {(run.name, run.what): run for run in bench_scan.history_rows(repository, bin, scratch)}
    ours, leaks = runs["analyzer", "tree"], runs["gitleaks", "tree"]
    ratio = ours.rate / leaks.rate
    reach = f">= {TIMES_GITLEAKS:g} x gitleaks, >= {LEAST_MB:g}"
    figure = f"{ours.rate:.1f} of {ours.amount:.0f} MB; gitleaks {leaks.rate:.1f}: {ratio:.1f} x"
    holds = ratio >= TIMES_GITLEAKS and ours.rate >= LEAST_MB
    yield Row("MB per CPU-second, tree", reach, figure, holds)
    for name in ("analyzer", "detect-secrets", "credsweeper"):
        run = runs[name, "sample"]
        yield Row(f"  {name}, sample", "", f"{run.rate:.2f} of {run.amount:.1f} MB")
    mine, theirs = runs["analyzer", "history"], runs["gitleaks", "history"]
    figure = f"{mine.rate:.0f} of {mine.amount:.0f}; gitleaks {theirs.rate:.0f}"
    holds = mine.rate >= max(theirs.rate, LEAST_COMMITS)
    yield Row("commits per CPU-second, history", f">= gitleaks, >= {LEAST_COMMITS:g}", figure, holds)
    figure = f"tree {ours.peak:.0f}, history {mine.peak:.0f}; gitleaks {leaks.peak:.0f}, {theirs.peak:.0f}"
    holds = max(ours.peak, mine.peak) <= MOST_RSS
    yield Row("peak RSS in MB, all processes", f"<= {MOST_RSS:g}", figure, holds)


def service_rows() -> Iterator[Row]:
    """What an analysis costs above an empty endpoint, asked in pairs."""
    result = asyncio.run(bench_service.measure(SECONDS))
    figure = f"{result.ratio:.2f} x: {result.warm.p95:.2f} ms, empty {result.empty.p95:.2f} ms"
    what = f"POST /analyze p95, {bench_service.RATE} a second, warm"
    reach = f"<= {bench_service.REACH} x an empty endpoint"
    yield Row(what, reach, figure, result.ratio <= bench_service.REACH)


def image_rows() -> Iterator[Row]:
    """The sizes of the image by the local builder, which is part of the platform, not of the analyzer."""
    try:
        import bench_image

        from local_platform.images.__main__ import DEFAULT_CACHE
        from local_platform.images.build import Builder
    except ModuleNotFoundError as error:
        yield Row("image, unpacked", "", f"needs the platform's builder: {error}", measured=False)
        return
    image = Builder(DEFAULT_CACHE).build(bench_image.CONTEXT, {})
    base, whole = bench_image.unpacked(image.layers[0]), sum(map(bench_image.unpacked, image.layers))
    for what, size, reach in (
        ("base", base, bench_image.BASE_REACH),
        ("whole", whole, bench_image.WHOLE_REACH),
    ):
        yield Row(f"image, {what}, unpacked, MB", f"<= {reach}", f"{size:.1f}", size <= reach)


def _told(what: str, rows: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """The rows of one part; where it fails, a row that says so: the others are measured all the same."""
    try:
        yield from rows()
    except (OSError, RuntimeError, BadRows, subprocess.SubprocessError) as error:
        yield Row(what, "", f"{type(error).__name__}: {error}"[:200], measured=False)


def table(given: argparse.Namespace, scratch: Path) -> Iterator[Row]:
    """All rows, each as soon as it is measured."""
    bin = bench_scan.peers(given.peers)
    yield from _told("held aside", lambda: labelled_rows(given.data, bin, scratch))
    yield from _told("grouped cross-validation", lambda: validated_rows(given.train))
    yield from _told("scan", lambda: scan_rows(given.tree, bin, scratch))
    yield from _told("POST /analyze", service_rows)
    yield from _told("image", image_rows)


def main() -> int:
    """0; 1 when a row falls short or could not be measured."""
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--data", type=Path, action="append", default=[], help="a labelled set held aside")
    options.add_argument("--train", type=Path, default=TRAIN, help="the labelled lines of the training")
    options.add_argument("--tree", type=Path, default=Path(os.__file__).parent)
    options.add_argument("--peers", type=Path, default=Path(tempfile.gettempdir()) / "analyzer-peers")
    given = options.parse_args()
    print(f"{'what':<40} {'reach':<30} {'':<13} figure", flush=True)
    ok = True
    with tempfile.TemporaryDirectory(prefix="bench-analyzer-") as folder:
        for row in table(given, Path(folder)):
            print(row, flush=True)
            ok = ok and row.measured and row.holds is not False
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
