"""A process is found again by more than its pid."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_platform import processes
from local_platform.errors import PlatformError
from local_platform.processes import Record, end_first, end_rest, family, listener, running, start

# A careless daemon: it ignores SIGTERM, as its child then does, and the child has a session of its own.
PARENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    name = f"{tmp_path}/part"
    yield name
    for process in family(None, name):
        os.kill(process.pid, signal.SIGKILL)


def launch(tmp_path: Path, mark: str, script: str) -> Record:
    return start(
        [sys.executable, "-c", script],
        env={**os.environ, processes.MARK: mark},
        cwd=tmp_path,
        log=tmp_path / "log",
        record=tmp_path / "record.json",
        fingerprint="f",
    )


def lines_of(log: Path, count: int) -> list[str]:
    """The first lines of a log, as soon as they are written."""
    with subprocess.Popen(["tail", "-n", "+1", "-F", str(log)], stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        found = [tail.stdout.readline().strip() for _ in range(count)]
        tail.terminate()
    return found


def test_a_started_process_is_read_back_as_running(tmp_path: Path, mark: str) -> None:
    record = launch(tmp_path, mark, "import time; time.sleep(600)")

    assert processes.read_record(tmp_path / "record.json") == record
    assert running(record)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"start": 1}, id="the pid was given out again"),
        pytest.param({"boot": "another"}, id="the machine was started again"),
    ],
)
def test_another_process_with_the_same_pid_is_not_ours(
    tmp_path: Path, mark: str, change: dict[str, int | str]
) -> None:
    record = launch(tmp_path, mark, "import time; time.sleep(600)")

    assert not running(dataclasses.replace(record, **change))  # type: ignore[arg-type]


def test_a_stranger_with_a_recycled_pid_is_never_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        record = Record(stranger.pid, 1, processes.boot_id(), "f", 0.0)
        end_first(record, signal.SIGTERM, 1.0)
        assert end_rest([], record, f"{tmp_path}/part", 1.0) == 0
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert stranger.returncode == 0


def test_children_that_outlive_a_killed_parent_are_found_and_ended(tmp_path: Path, mark: str) -> None:
    record = launch(tmp_path, mark, PARENT)
    child = int(lines_of(tmp_path / "log", 1)[0])
    os.kill(record.pid, signal.SIGKILL)

    assert child in {process.pid for process in family(record, mark)}
    end_rest([], record, mark, 1.0)
    assert family(record, mark) == []


def test_a_part_that_ignores_its_signal_is_killed_and_counted(tmp_path: Path, mark: str) -> None:
    record = launch(tmp_path, mark, PARENT)
    lines_of(tmp_path / "log", 1)
    members = family(record, mark)
    end_first(record, signal.SIGTERM, 0.2)

    assert end_rest(members, record, mark, 0.2) == 2
    assert not running(record)
    assert family(record, mark) == []


def test_a_missing_program_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="the program /absent is missing; `make setup`"):
        start(["/absent"], env={}, cwd=tmp_path, log=tmp_path / "l", record=tmp_path / "r", fingerprint="f")


def test_the_holder_of_a_port_is_told_by_name_and_pid(tmp_path: Path, mark: str) -> None:
    script = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0)); "
        "print(s.getsockname()[1], flush=True); time.sleep(600)"
    )
    record = launch(tmp_path, mark, script)
    port = int(lines_of(tmp_path / "log", 1)[0])

    found = listener(port)
    assert found is not None
    assert f"(pid {record.pid})" in found
