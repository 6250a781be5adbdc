"""Runs a program in a running container and collects what it says."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from local_platform.node.container import Attempt, runtime_command, runtime_environment

LONGEST_OUTPUT = 10 * 1024


@dataclass(frozen=True)
class Result:
    """Exit code and output (both streams, cut to 10 KiB). `failure` says why the program did not start."""

    code: int
    output: str
    failure: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What a program in a container sees: its environment and working directory, as its first process got
    them.
    """

    environment: Mapping[str, str]
    directory: str

    @classmethod
    def of(cls, attempt: Attempt) -> Surroundings:
        spec = json.loads((attempt.folder / "spec.json").read_text())
        return cls(spec["environment"], spec["directory"])


def enter_request(attempt: Attempt, command: list[str], failure: int, *, terminal: int | None = None) -> str:
    """The argument of the enter helper; `failure` and `terminal` are descriptors that it inherits."""
    assert attempt.shim is not None
    assert attempt.first is not None
    surroundings = Surroundings.of(attempt)
    environment = dict(surroundings.environment)
    if terminal is not None:
        environment.setdefault("TERM", "xterm")
    request = {
        "shim": attempt.shim.pid,
        "first": attempt.first.pid,
        "argv": command,
        "environment": environment,
        "directory": surroundings.directory,
        "failure": failure,
    }
    return json.dumps(request | ({} if terminal is None else {"channel": terminal}))


async def run_in_container(attempt: Attempt, command: list[str], timeout: float) -> Result:
    """Run to the end.

    Raises:
        TimeoutError: it took longer than `timeout` seconds; it was killed.
    """
    reader, writer = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *runtime_command("enter", enter_request(attempt, command, writer)),
            env=runtime_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(writer,),
        )
    finally:
        os.close(writer)
    with os.fdopen(reader) as failures:
        try:
            out, _ = await asyncio.wait_for(process.communicate(), timeout)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        failure = failures.read()
    assert process.returncode is not None
    return Result(process.returncode, out[:LONGEST_OUTPUT].decode(errors="replace"), failure)
