"""The server as a process: it answers on a socket, drains at SIGTERM and ends well."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fm_llm_solver import __main__ as command
from fm_llm_solver.app import DrainingServer, Lifecycle, create_app

SOURCE = Path(command.__file__).parents[1]
SYSTEM = {"system": [[-1, 0], [0, -1]]}


@pytest.fixture
def served() -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "FM_DRAIN_SECONDS": "0.5"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fm_llm_solver", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert process.stderr is not None
    try:
        found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)
        address = next(match[0] for match in found if match)
        with httpx.Client(base_url=address, trust_env=False) as client:
            yield client, process
    finally:
        process.kill()
        process.communicate()


def test_it_serves_until_it_is_told_to_stop(served: tuple[httpx.Client, subprocess.Popen[str]]) -> None:
    client, process = served
    assert client.post("/api/certificates", json=SYSTEM).json()["valid"] is True
    process.send_signal(signal.SIGTERM)
    while client.get("/readiness").status_code == 200:
        pass
    assert client.get("/health").json()["status"] == "draining"
    assert process.wait(30) == 0


async def test_a_first_signal_drains_and_a_second_one_ends() -> None:
    import asyncio

    import uvicorn

    lifecycle = Lifecycle()
    config = uvicorn.Config(create_app(lifecycle), port=0, log_config=None)
    server = DrainingServer(config, lifecycle, delay=60)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    server.handle_exit(signal.SIGTERM, None)
    while not lifecycle.draining:
        await asyncio.sleep(0.01)
    assert not server.should_exit
    server.handle_exit(signal.SIGTERM, None)
    await serving
