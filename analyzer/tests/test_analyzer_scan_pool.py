"""Workers that crash or hang cost the item they were at; nobody outlives the scan."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from analyzer.scan.engine import Finding, Fingerprinter
from analyzer.scan.pool import Pool
from analyzer.scan.source import Item, Reader
from analyzer.scan.worker import Part, Worker


@dataclass(frozen=True)
class Named:
    """Items whose content is their own name."""

    chunk: int = 4

    def reader(self) -> AbstractContextManager[Reader]:
        return nullcontext(self)

    def expect(self, items: Sequence[Item]) -> None: ...

    def pieces(self, item: Item) -> Iterator[bytes]:
        yield item.path.encode()


@dataclass(frozen=True)
class Found:
    findings: tuple[Finding, ...] = ()
    complete: bool = True


class Hostile:
    """Does what the content says; a finding names the process that made it."""

    model_version = "hostile"

    def search(self, content: bytes, path: str, fingerprint: Fingerprinter) -> Found:
        if path in ("path", "paths"):
            return Found()
        if content == b"crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if content == b"exit":
            os._exit(7)
        if content == b"hang":
            time.sleep(600)
        if content == b"slow":
            time.sleep(0.2)
        findings = (Finding(path, 1, "rule", "type", "low", "…", fingerprint(content)),)
        return Found(findings, complete=content != b"flood")


def scanned(names: list[str], jobs: int = 2, patience: float = 60.0) -> tuple[list[str], list[str]]:
    pool = Pool(Worker(Hostile(), Fingerprinter(b"key")), Named(), jobs, patience)
    whole = Part()
    for part in pool.scan(iter([Item(name, name) for name in names])):
        whole.hits += part.hits
        whole.coverage.add(part.coverage)
    return [hit.finding.path for hit in whole.hits], whole.coverage.not_scanned


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(jobs: int) -> None:
    names = ["slow" if n % 9 == 0 else f"{n}" for n in range(60)]
    assert scanned(names, jobs) == (names, [])


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_crash_costs_one_item(jobs: int) -> None:
    names = [*"abcdef", "crash", *"ghijkl", "exit", *"mnop"]
    found, gaps = scanned(names, jobs)
    assert found == list("abcdefghijklmnop")
    assert gaps == [
        "crash: the worker that scanned it ended with SIGKILL",
        "exit: the worker that scanned it ended with exit code 7",
    ]


def test_what_was_searched_in_part_is_said_so_and_keeps_its_findings() -> None:
    assert scanned(["a", "flood"]) == (
        ["a", "flood"],
        ["flood: too many candidates, so it was searched in part only"],
    )


def test_what_hangs_is_given_up() -> None:
    found, gaps = scanned([*"abcde", "hang", *"fgh"], patience=1.0)
    assert found == list("abcdefgh")
    assert gaps == ["hang: the scan of it was given up after 1 seconds"]


def test_when_everything_crashes_everything_is_named() -> None:
    found, gaps = scanned(["crash"] * 11)
    assert (found, len(gaps)) == ([], 11)


def test_workers_end_when_the_scan_is_killed(tmp_path: Path) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    script = """
import os, sys, time
from test_analyzer_scan_pool import *
class Waiting(Hostile):
    def search(self, content, path, fingerprint):
        os.write(3, b"x")
        time.sleep(0.05)
        return Found()
pool = Pool(Worker(Waiting(), Fingerprinter(b"key")), Named(), 3)
list(pool.scan(iter([Item(str(n), str(n)) for n in range(10**6)])))
"""
    writer_side, environment = os.open(fifo, os.O_RDWR), os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])
    }  # fmt: skip
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$0" -c "$1" 3>"$2"', sys.executable, script, str(fifo)], env=environment
    )
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b"x"
    process.kill()
    process.wait()
    os.close(writer_side)
    # The end of the file comes when the last worker has closed it.
    while os.read(reader, 1 << 16):
        pass
    os.close(reader)
