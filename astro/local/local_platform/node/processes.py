"""What /proc tells about processes: identity, descendants, memory, processor time."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class ProcessId:
    """A pid and its start in clock ticks since boot, so that a recycled pid is never taken for the same
    process.
    """

    pid: int
    start: int

    def alive(self) -> bool:
        fields = _stat(self.pid)
        return fields is not None and int(fields[19]) == self.start and fields[0] not in "ZX"

    def signal(self, number: int) -> bool:
        """Send a signal to exactly this process; False when it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    async def ended(self) -> None:
        """Return when the process has ended, whosever child it is."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        try:
            if not self.alive():
                return
            done: asyncio.Future[None] = loop.create_future()
            loop.add_reader(descriptor, _finish, done)
            try:
                await done
            finally:
                loop.remove_reader(descriptor)
        finally:
            os.close(descriptor)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


@dataclass(frozen=True)
class Usage:
    """Memory in bytes and processor time in seconds of a process tree."""

    memory: int
    processor: float


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def process_table() -> dict[int, list[int]]:
    """The children of every process."""
    table: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields is not None:
                table.setdefault(int(fields[1]), []).append(int(entry))
    return table


def tree(root: int, table: dict[int, list[int]]) -> list[int]:
    """`root` and its descendants."""
    found = [root]
    for pid in found:
        found.extend(table.get(pid, ()))
    return found


def usage(pids: list[int]) -> Usage:
    """Memory and time of processes; those that end meanwhile count as nothing.

    Memory is the resident set for one process. Of several it is the proportional set: they share pages, and
    the sum of resident sets would count those once for each.
    """
    memory, ticks = 0, 0
    for pid in pids:
        fields = _stat(pid)
        if fields is None:
            continue
        ticks += sum(int(field) for field in fields[11:15])
        memory += int(fields[21]) * PAGE if len(pids) == 1 else _proportional(pid)
    return Usage(memory, ticks / TICKS)


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return 0
