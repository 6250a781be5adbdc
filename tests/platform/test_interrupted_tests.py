"""Tests that are interrupted leave no process of their platforms, whatever ended them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from own_platform import started_from

from local_platform import processes
from local_platform.layout import CHECKOUT
from local_platform.processes import Process

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]

BY_COMMAND = "test_lifecycle.py::test_up_again_touches_nothing"
"""Its platform is started by `local_platform up`, a process beside the parts."""
IN_PROCESS = "test_own_platform.py::test_a_killed_part_starts_again_and_nothing_of_it_ran_meanwhile"
"""Its platform is started by pytest's own process."""


@dataclass(frozen=True)
class Inner:
    """A pytest run of its own; all that it writes, and every platform of it, is below `folder`."""

    folder: Path
    process: subprocess.Popen[bytes]

    def parts(self) -> list[Process]:
        """The processes that carry the mark of a platform below the folder."""
        mark = f"{processes.MARK}={self.folder}".encode()
        return [one for one in processes.table().values() if mark in _environment(one)]


def _start(folder: Path, test: str) -> Inner:
    command = [sys.executable, "-m", "pytest", f"--basetemp={folder}/b", "-p", "no:cacheprovider"]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command, str(CHECKOUT / "tests" / "platform" / test)],
            cwd=CHECKOUT,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return Inner(folder, process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
@pytest.mark.parametrize("test", [BY_COMMAND, IN_PROCESS], ids=["by-command", "in-process"])
def test_no_process_of_a_platform_outlives_its_interrupted_tests(
    tmp_path: Path, test: str, number: signal.Signals
) -> None:
    inner = _start(tmp_path, test)
    try:
        _until(lambda: bool(inner.parts()), "a part of the platform runs", inner)
        running = inner.parts()
        inner.process.send_signal(number)
        inner.process.wait(120)
        _until(lambda: not list(started_from(tmp_path)), "every process has ended", inner)
        assert processes.alive(running) == []
    finally:
        inner.process.kill()
        inner.process.wait()


def _environment(process: Process) -> bytes:
    try:
        return Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return b""


def _until(there: Callable[[], bool], what: str, inner: Inner) -> None:
    deadline = time.monotonic() + 90
    while not there():
        if time.monotonic() > deadline:
            output = (inner.folder / "output").read_text(encoding="utf-8", errors="replace")
            raise AssertionError(f"not yet: {what}: {list(started_from(inner.folder))}\n{output[-2000:]}")
        time.sleep(0.1)
