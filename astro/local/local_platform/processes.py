"""Detached processes that are found again: by pid and start time, by session, by a mark in their environment.

A pid alone is not an identity: the kernel gives it out again. Linux keeps a process's start (ticks since
boot) in field 22 of /proc/PID/stat; pid, start and boot id together name one process for ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from local_platform.errors import PlatformError
from local_platform.kept import write_private

MARK = "LOCAL_PLATFORM_PART"


@dataclass(frozen=True)
class Process:
    """One line of the process table."""

    pid: int
    parent: int
    session: int
    start: int
    state: str


@dataclass(frozen=True)
class Record:
    """What the supervisor remembers of a process that it started."""

    pid: int
    start: int
    boot: str
    fingerprint: str
    started_at: float


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def look_up(pid: int) -> Process | None:
    """The process with this pid, or None; a zombie is no process, it holds nothing any more."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0])


def table() -> dict[int, Process]:
    found = (look_up(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return {process.pid: process for process in found if process}


def read_record(path: Path) -> Record | None:
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # A half-written file of an older version says nothing; the mark still finds the process.
        return None


def running(record: Record | None) -> bool:
    """Whether the recorded process itself is alive (and not another one with its pid)."""
    if record is None or record.boot != boot_id():
        return False
    process = look_up(record.pid)
    return process is not None and process.start == record.start


def start(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, record: Path, fingerprint: str
) -> Record:
    """Start a process in a session of its own, its output appended to `log`, and remember it in `record`."""
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except FileNotFoundError as error:
        raise PlatformError(f"the program {argv[0]} is missing; `make setup` downloads it again") from error
    except OSError as error:
        raise PlatformError(f"cannot start {argv[0]}: {error.strerror}") from error
    process = look_up(child.pid)
    kept = Record(child.pid, process.start if process else -1, boot_id(), fingerprint, time.time())
    write_private(record, json.dumps(asdict(kept)) + "\n")
    return kept


def family(record: Record | None, mark: str) -> list[Process]:
    """Every live process of a part: the started one, its descendants, its session, whoever carries its mark.

    Children survive a killed parent under another parent, and some programs overwrite their environment with
    a title: so each of the three ways finds what the others miss.
    """
    processes = table()
    roots = {pid for pid, process in processes.items() if _belongs(process, record, mark)}
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, []))
    found.discard(os.getpid())
    return [processes[pid] for pid in sorted(found)]


def _belongs(process: Process, record: Record | None, mark: str) -> bool:
    if (
        record
        and record.boot == boot_id()
        and process.start >= record.start >= 0
        and process.session == record.pid
    ):
        return True
    try:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in environment.split(b"\0")


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to exactly these processes: one whose pid was given out again is left alone."""
    for process in processes:
        now = look_up(process.pid)
        if now and now.start == process.start:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)


def alive(processes: Iterable[Process]) -> list[Process]:
    looked = ((process, look_up(process.pid)) for process in processes)
    return [process for process, now in looked if now and now.start == process.start]


def end_first(record: Record | None, number: signal.Signals, seconds: float) -> None:
    """Ask a part's first process to end, and wait for that up to `seconds`."""
    if record is None or not running(record):
        return
    process = look_up(record.pid)
    first = [process] if process else []
    send(first, number)
    _await_end(first, seconds)


def end_rest(members: Iterable[Process], record: Record | None, mark: str, seconds: float) -> int:
    """End what is left of a part; returns how many processes had to be killed.

    `members` are those that were seen before its first process ended: they are nobody's descendants by now.

    Raises:
        PlatformError: a process survives even SIGKILL.
    """
    left = _unique([*alive(members), *family(record, mark)])
    send(left, signal.SIGTERM)
    _await_end(left, seconds)
    killed = _unique([*alive(left), *family(record, mark)])
    send(killed, signal.SIGKILL)
    _await_end(killed, 5.0)
    if alive(killed):
        pids = ", ".join(str(process.pid) for process in alive(killed))
        raise PlatformError(f"processes {pids} survive SIGKILL; look at them with `ps -p {pids}`")
    return len(killed)


def _unique(found: Iterable[Process]) -> list[Process]:
    return list({process.pid: process for process in found}.values())


def _await_end(waited: Sequence[Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while alive(waited) and time.monotonic() < deadline:
        time.sleep(0.05)


def listener(port: int) -> str | None:
    """Who listens on a TCP port, as `name (pid N)`, as far as this user may see it."""
    inodes = set()
    for table_file in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path(table_file).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for pid in (entry for entry in os.listdir("/proc") if entry.isdigit()):
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{descriptor}") in inodes:
                    return f"{Path(f'/proc/{pid}/comm').read_text(encoding='utf-8').strip()} (pid {pid})"
    return None
