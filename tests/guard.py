"""Stops a platform whose tests have died: `python guard.py STATE` waits for the end of its input.

The word `done` on its input means that the tests have cleaned up themselves. An end of file without it
means that they are gone, whatever killed them: then the commands that still start or stop parts of that
platform are ended first, since only one of them may work on a platform at a time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_platform import processes
from local_platform.processes import Process

PATIENCE = 10.0
"""Seconds for a command to end after SIGINT."""


@contextmanager
def guarded(state: Path) -> Iterator[None]:
    """The platform in `state` outlives neither this process nor a block that raises."""
    guard = subprocess.Popen(
        [sys.executable, __file__, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    try:
        yield
    except BaseException:
        guard.communicate()
        raise
    guard.communicate("done\n")


def _stop_platform(state: str) -> None:
    """Does not return."""
    commands = _commands(state)
    processes.send(commands, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    while processes.alive(commands) and time.monotonic() < deadline:
        time.sleep(0.1)
    processes.send(processes.alive(commands), signal.SIGKILL)
    environment = {**os.environ, "PLATFORM_STATE": state}
    os.execve(sys.executable, [sys.executable, "-m", "local_platform", "reset"], environment)


def _commands(state: str) -> list[Process]:
    """What works on the platform without being a part of it."""
    return [process for pid, process in processes.table().items() if _is_command(pid, state)]


def _is_command(pid: int, state: str) -> bool:
    if pid == os.getpid():
        return False
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    part = any(entry.startswith(f"{processes.MARK}=".encode()) for entry in environment)
    return f"PLATFORM_STATE={state}".encode() in environment and not part


if __name__ == "__main__" and sys.stdin.readline().strip() != "done":
    _stop_platform(sys.argv[1])
