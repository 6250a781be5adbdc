"""Worker processes that scan chunks, with results in the order of the chunks.

A worker that dies (a crash, the memory limit) or takes too long costs no more than the item it was at: its
chunk is scanned again item by item by fresh workers, and the item that does it again is reported.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from time import monotonic
from typing import Protocol

from analyzer.scan.source import Item, Reader
from analyzer.scan.worker import Part, Worker

PATIENCE = 120.0
"""Seconds that a worker may take for one item."""
_SIGN = 1.0
"""Seconds after which a worker that is still at its chunk says that it came on."""
_FIRST = 64
"""Items of the first chunk; the next ones are larger, so that small scans are shared out too."""
_AHEAD = 32
"""Chunks for each worker that may be finished and wait for an earlier one."""

_FORK = multiprocessing.get_context("fork")


_COMING = Part()
"""Stands for a sign of life."""


class HasReader(Protocol):
    """A source, as workers see it."""

    @property
    def chunk(self) -> int: ...

    def reader(self) -> AbstractContextManager[Reader]: ...


@dataclass
class _Process:
    """One worker process and the chunk that it has."""

    process: ForkProcess
    connection: Connection
    index: int = -1
    items: list[Item] = field(default_factory=list)
    deadline: float = 0.0

    def give(self, index: int, items: list[Item], patience: float) -> None:
        self.index, self.items, self.deadline = index, items, monotonic() + patience
        try:
            self.connection.send(items)
        except OSError:
            # It died while it was idle: the wait that follows sees its end at once.
            return

    def result(self) -> Part | None:
        """What it sent: a part, or `_COMING`. None when it died or is late."""
        try:
            if self.connection.poll():
                part: Part = self.connection.recv() or _COMING
                return part
        except (EOFError, OSError):
            return None
        return None

    def end(self, *, at_once: bool) -> None:
        self.connection.close()
        if at_once:
            self.process.kill()
        self.process.join()


@dataclass
class Pool:
    """`jobs` processes, forked when there is work for them."""

    worker: Worker
    source: HasReader
    jobs: int
    patience: float = PATIENCE
    _processes: list[_Process] = field(default_factory=list)

    def scan(self, items: Iterator[Item]) -> Iterator[Part]:
        """A part for each chunk of items, in their order, whichever worker was first."""
        done: dict[int, Part] = {}
        given, due, more = 0, 0, True
        try:
            while more or due < given:
                while more and given - due < _AHEAD * self.jobs and (free := self._free()):
                    if chunk := list(islice(items, min(self.source.chunk, _FIRST << min(given, 8)))):
                        free.give(given, chunk, self.patience)
                        given += 1
                    else:
                        more = False
                if due < given and due not in done:
                    done.update(self._collected())
                while due in done:
                    yield done.pop(due)
                    due += 1
        finally:
            for process in self._processes:
                process.end(at_once=process.index >= 0)
            self._processes.clear()

    def _free(self) -> _Process | None:
        for process in self._processes:
            if process.index < 0:
                return process
        return self._started() if len(self._processes) < self.jobs else None

    def _started(self) -> _Process:
        ours, theirs = _FORK.Pipe()
        others = [process.connection for process in self._processes]
        process = _FORK.Process(
            target=_work, args=(self.worker, self.source, theirs, [*others, ours]), daemon=True
        )
        process.start()
        theirs.close()
        started = _Process(process, ours)
        self._processes.append(started)
        return started

    def _collected(self) -> Iterator[tuple[int, Part]]:
        """Waits until a worker has finished, died or run out of time."""
        busy = [process for process in self._processes if process.index >= 0]
        left = max(0.0, min(process.deadline for process in busy) - monotonic())
        ready = wait([process.connection for process in busy], timeout=left)
        for process in busy:
            if process.connection in ready or process.deadline <= monotonic():
                index, items, part = process.index, process.items, process.result()
                if part is _COMING:
                    process.deadline = monotonic() + self.patience
                    continue
                process.index = -1
                yield index, self._one_by_one(process, items) if part is None else part

    def _one_by_one(self, failed: _Process, items: list[Item]) -> Part:
        """The chunk again, item by item; `failed` and whoever else fails is replaced."""
        whole = Part()
        cause = self._buried(failed)
        if len(items) == 1:
            whole.coverage.not_scanned.append(f"{items[0].path}: {cause}")
            return whole
        for item in items:
            process = self._free() or self._started()
            process.give(0, [item], self.patience)
            part: Part | None = _COMING
            while part is _COMING:
                wait([process.connection], timeout=self.patience)
                part = process.result()
            process.index = -1
            if part is None:
                whole.coverage.not_scanned.append(f"{item.path}: {self._buried(process)}")
            else:
                whole.hits += part.hits
                whole.coverage.add(part.coverage)
        return whole

    def _buried(self, process: _Process) -> str:
        """Why it gave no result, in words."""
        process.process.join(timeout=0.5)
        code = process.process.exitcode
        self._processes.remove(process)
        process.end(at_once=True)
        if code is None:
            return f"the scan of it was given up after {self.patience:g} seconds"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the worker that scanned it ended with {how}"


def _work(worker: Worker, source: HasReader, connection: Connection, inherited: list[Connection]) -> None:
    """The life of a worker: until its pipe closes, which also happens when the parent is killed."""
    for other in inherited:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    said = monotonic()

    def alive() -> None:
        nonlocal said
        if monotonic() - said > _SIGN:
            connection.send(None)
            said = monotonic()

    with source.reader() as reader:
        while True:
            try:
                connection.send(worker.scan(connection.recv(), reader, alive))
            except (EOFError, OSError):
                return
            except Exception:
                # No traceback: its last line may quote what was read. The parent tells of the exit code.
                os._exit(70)


def usable_processors() -> int:
    """Processors that this process may use: its affinity, and in a container its quota."""
    available = len(os.sched_getaffinity(0))
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        return available
    return available if quota == "max" else max(1, min(available, round(int(quota) / int(period))))
