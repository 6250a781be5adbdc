"""How many secrets a scanner finds on labelled sets, and how many others: ours and its peers, line by line.

A set is a folder of files with `labels.jsonl`, or a file of labelled lines; `analyzer.training.benchmark`
and `analyzer.training.rows` say how they are written. Labelled lines become a file each, so that every
scanner sees the same bytes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from analyzer.engine.detect import default_engine
from analyzer.training.benchmark import SEED, measure_files, measure_rows
from analyzer.training.evaluate import Score
from analyzer.training.rows import read_rows
from analyzer.training.synthesis import filled, value_of, vocabulary

LABELS = "labels.jsonl"


@dataclass(frozen=True)
class Compared:
    """One labelled set: our score, and the peers'."""

    what: str
    ours: Score
    peers: Mapping[str, Score]


Reported = Callable[[Path, Path, Path], set[str]]
"""From the folder of programs, the set and a scratch folder to the places that a peer reports."""


def compared(data: Path, bin: Path, scratch: Path) -> list[Compared]:
    """The scores on one set; raises `BadRows` for a bad label."""
    if data.is_dir():
        labels = [json.loads(line) for line in (data / LABELS).read_text(encoding="utf-8").splitlines()]
        weak = {_line(each["path"], each["line"]) for each in labels if each.get("weak")}
        positives = {_line(each["path"], each["line"]) for each in labels if each["label"]} - weak
        ours = measure_files(data, default_engine())
        places = {name: report(bin, data, scratch) - weak for name, report in PEERS.items()}
        peers = {name: _score(found, positives) for name, found in places.items()}
        return [Compared("files", ours, peers)]
    return _lines(data, bin, scratch)


def _lines(data: Path, bin: Path, scratch: Path) -> list[Compared]:
    ours, rows, folder = measure_rows(data, default_engine()), read_rows(data), scratch / "lines"
    words, names = vocabulary(rows), []
    for number, row in enumerate(rows):
        path = folder / f"{number:06}" / (f"file.{row.file_type}" if row.file_type else "file")
        path.parent.mkdir(parents=True)
        text, _ = filled(row, value_of(row, words, SEED, number))
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        names.append(path.relative_to(folder).as_posix())
    reported = {
        name: {place.rpartition(":")[0] for place in report(bin, folder, scratch)}
        for name, report in PEERS.items()
    }
    parts = {
        "lines, CredData part": [not row.weak and not row.category.startswith("neg:") for row in rows],
        "lines, all": [not row.weak for row in rows],
    }
    results = []
    for what, chosen in parts.items():
        inside = {name for name, is_in in zip(names, chosen, strict=True) if is_in}
        positives = {name for name, row in zip(names, rows, strict=True) if row.label and name in inside}
        peers = {peer: _score(found & inside, positives) for peer, found in reported.items()}
        results.append(Compared(what, ours[what.removeprefix("lines, ")], peers))
    return results


def _score(found: set[str], positives: set[str]) -> Score:
    return Score(len(found & positives), len(found - positives), len(positives - found))


def _line(path: object, line: object) -> str:
    return f"{path}:{line}"


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def _relative(path: str, folder: Path) -> str:
    return (folder / path).resolve().relative_to(folder.resolve()).as_posix()


def _gitleaks(bin: Path, folder: Path, scratch: Path) -> set[str]:
    report, ignored = scratch / "labelled-gitleaks.json", scratch / "nothing-ignored"
    ignored.touch()
    _run(
        [str(bin / "gitleaks"), "dir", str(folder), "--no-banner", "--redact", "--ignore-gitleaks-allow",
         "-i", str(ignored), "-f", "json", "-r", str(report)]
    )  # fmt: skip
    found = json.loads(report.read_text(encoding="utf-8"))
    return {_line(_relative(each["File"], folder), each["StartLine"]) for each in found}


def _detect_secrets(bin: Path, folder: Path, scratch: Path) -> set[str]:
    scan = ["scan", "--all-files", "--no-verify"]
    results = json.loads(_run([str(bin / "detect-secrets"), "-C", str(folder), *scan]))["results"]
    return {
        _line(_relative(path, folder), each["line_number"])
        for path, found in results.items()
        for each in found
    }


def _credsweeper(bin: Path, folder: Path, scratch: Path) -> set[str]:
    report = scratch / "labelled-credsweeper.json"
    _run([str(bin / "credsweeper"), "--path", str(folder), "--save-json", str(report), "--log", "error"])
    found = json.loads(report.read_text(encoding="utf-8"))
    lines = [line for each in found for line in each["line_data_list"]]
    return {_line(_relative(line["path"], folder), line["line_num"]) for line in lines}


PEERS: Mapping[str, Reported] = {
    "gitleaks": _gitleaks,
    "detect-secrets": _detect_secrets,
    "credsweeper": _credsweeper,
}
