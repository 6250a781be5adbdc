"""The figures of the engine: speed over a tree, and precision and recall on labelled sets.

`measure_rows` reads labelled lines (`rows`), with values; `measure_files` reads a folder of files and its
`labels.jsonl`, one `{"path": …, "line": …, "label": 0 or 1, "weak": false}` for each labelled line, counted
from 1. Weak lines count neither way; a finding on a line without a label is a false positive.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analyzer.engine.detect import Engine, default_engine
from analyzer.engine.privacy import Fingerprinter
from analyzer.training.evaluate import Score, score
from analyzer.training.rows import BadRows, read_rows
from analyzer.training.synthesis import filled, value_of, vocabulary

SEED = 20261122
MAX_FILE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Speed:
    """What a pass over a tree took."""

    files: int
    megabytes: float
    cpu_seconds: float
    findings: int
    partial: int
    peak_rss_mb: float

    def __str__(self) -> str:
        rate = self.megabytes / self.cpu_seconds if self.cpu_seconds else 0.0
        return (
            f"{self.files} files, {self.megabytes:.1f} MB, {rate:.0f} MB per CPU-second (reading included), "
            f"{self.findings} findings ({self.findings / max(self.megabytes, 1e-9):.3f} a MB), "
            f"{self.partial} searched in part, peak RSS {self.peak_rss_mb:.0f} MB"
        )


def measure_tree(root: Path, engine: Engine) -> Speed:
    """Reads and searches every regular file below `root`, one after the other."""
    fingerprint = Fingerprinter.ephemeral()
    files = size = findings = partial = 0
    begin = time.process_time()
    for path in _files(root):
        content = path.read_bytes()
        search = engine.search(content, str(path), fingerprint)
        files, size = files + 1, size + len(content)
        findings, partial = findings + len(search.findings), partial + (not search.complete)
    cpu = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Speed(files, size / 1e6, cpu, findings, partial, peak)


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_FILE:
                yield path


def measure_rows(data: Path, engine: Engine) -> dict[str, Score]:
    """Scores by part: `all`, `CredData part`, `with identifiers` (weak ones count as positives).

    Rows without a value get a generated one.
    """
    rows = read_rows(data)
    words, fingerprint = vocabulary(rows), Fingerprinter.ephemeral()
    said = []
    for number, row in enumerate(rows):
        text, _ = filled(row, value_of(row, words, SEED, number))
        path = f"file.{row.file_type}" if row.file_type else "file"
        said.append(bool(engine.search(text.encode(errors="surrogatepass"), path, fingerprint).findings))
    parts = {
        "all": [i for i, row in enumerate(rows) if not row.weak],
        "CredData part": [
            i for i, row in enumerate(rows) if not row.weak and not row.category.startswith("neg:")
        ],
        "with identifiers": list(range(len(rows))),
    }
    return {
        name: score([rows[i].label for i in part], [said[i] for i in part]) for name, part in parts.items()
    }


def measure_files(root: Path, engine: Engine) -> Score:
    """Counts lines of the files below `root` against `root/labels.jsonl`; raises `BadRows` for a bad one."""
    positives, ignored = _labels(root / "labels.jsonl")
    reported: set[tuple[str, int]] = set()
    fingerprint = Fingerprinter.ephemeral()
    for path in _files(root):
        name = path.relative_to(root).as_posix()
        if name != "labels.jsonl":
            search = engine.search(path.read_bytes(), name, fingerprint)
            reported.update((name, finding.line) for finding in search.findings)
    reported -= ignored
    return Score(len(reported & positives), len(reported - positives), len(positives - reported))


def _labels(path: Path) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    positives: set[tuple[str, int]] = set()
    ignored: set[tuple[str, int]] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            fields = json.loads(line)
            place = (str(fields["path"]), int(fields["line"]))
            if fields.get("weak"):
                ignored.add(place)
            elif fields["label"]:
                positives.add(place)
        except (ValueError, KeyError, TypeError) as error:
            raise BadRows(f"{path}: line {number} is no label: {error!r}") from None
    return positives, ignored - positives


def main(arguments: list[str] | None = None) -> int:
    """Prints one line a figure."""
    parser = argparse.ArgumentParser(prog="python -m analyzer.training.benchmark")
    parser.add_argument("--tree", type=Path, help="a folder to measure the speed on")
    parser.add_argument("--data", type=Path, help="labelled lines, or a folder with labels.jsonl")
    chosen = parser.parse_args(arguments)
    engine = default_engine()
    try:
        if chosen.tree:
            print(f"tree: {measure_tree(chosen.tree, engine)}")
        if chosen.data and chosen.data.is_dir():
            print(f"files: {measure_files(chosen.data, engine)}")
        elif chosen.data:
            for name, result in measure_rows(chosen.data, engine).items():
                print(f"lines, {name}: {result}")
    except (BadRows, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
