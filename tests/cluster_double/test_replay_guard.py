"""A replay that is killed leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from replay.guard import guarded

from local_platform import processes

STARTER = """
import subprocess, sys, time
from pathlib import Path
from replay.guard import guarded
with guarded(Path(sys.argv[1])):
    held = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print(held.pid, flush=True)
    time.sleep(600)
"""
SECONDS = 20.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_what_was_started_ends_with_the_replay(tmp_path: Path, number: signal.Signals) -> None:
    replay = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert replay.stdout is not None
    with replay.stdout:
        held = processes.look_up(int(replay.stdout.readline()))
    assert held is not None
    replay.send_signal(number)
    replay.wait(SECONDS)
    deadline = time.monotonic() + SECONDS
    while processes.alive([held]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes.alive([held]) == []


def test_a_replay_that_ends_by_itself_is_left_to_stop_its_processes(tmp_path: Path) -> None:
    with guarded(tmp_path):
        assert os.environ[processes.MARK] == str(tmp_path)
        held = subprocess.Popen(["sleep", "600"])
    try:
        assert held.poll() is None
    finally:
        held.kill()
        held.wait()
    assert os.environ.get(processes.MARK) != str(tmp_path)
