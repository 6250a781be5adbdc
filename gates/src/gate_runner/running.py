"""Runs a tool with a time limit, and leaves none of its processes behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_KEPT = 1_000_000
"""Bytes of output that are read back, from its end."""


class TimeIsUp(Exception):
    """The gate's time limit was reached."""


@dataclass(frozen=True)
class Ended:
    code: int
    output: str


class Runner:
    """Tools of one gate share its time."""

    def __init__(self, work: Path, seconds: float) -> None:
        """`work` is an empty folder outside the tree: the tools start there."""
        self.work = work
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        # A process that leaves its group becomes a child of this one, and is found.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def run(self, command: Sequence[str], env: Mapping[str, str]) -> Ended:
        """What the tool printed goes to our own output, too. Raises TimeIsUp."""
        print("$", " ".join(command[:12]), "…" if len(command) > 12 else "", flush=True)
        output = self.work / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.work, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(max(0.0, self._until - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise TimeIsUp(f"not done after {self._seconds:g} s") from None
            finally:
                end_descendants()
                process.wait()
                print(text := _tail(output), end="" if text.endswith("\n") else "\n", flush=True)
        return Ended(code, text)


def end_descendants() -> None:
    """Kill everything that was started from here, until nothing of it runs."""
    while found := list(_descendants(os.getpid())):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        if not _ended(child):
            yield child
        yield from _descendants(child)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _KEPT))
        return file.read().decode(errors="replace")
