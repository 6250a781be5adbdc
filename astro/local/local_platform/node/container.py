"""One container over all its attempts: started through a shim, found again after the node's own death,
stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import local_platform
from local_platform.node.images import Image
from local_platform.node.processes import ProcessId
from local_platform.node.runtime.relay import write_atomically
from local_platform.node.runtime.sandbox import ContainerSpec

PACKAGE_ROOT = Path(local_platform.__file__).parent.parent
KEPT_ATTEMPTS = 2
# The kubelet gives a container at least this long between its stop signal and SIGKILL.
LEAST_GRACE_SECONDS = 2.0
LONGEST_MESSAGE = 4096
START_SECONDS = 3.0


class StartError(Exception):
    """The runtime could not start the container."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended; `finished` is in nanoseconds since the epoch."""

    code: int
    finished: int
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Attempt:
    """One run of a container. Its folder holds the log and what the shim recorded."""

    folder: Path
    number: int
    identifier: str
    image: str
    image_identifier: str
    started: int = 0
    shim: ProcessId | None = None
    first: ProcessId | None = None
    ending: Ending | None = None

    @property
    def running(self) -> bool:
        return self.shim is not None and self.ending is None

    @property
    def log(self) -> Path:
        return self.folder / "log"


def runtime_command(module: str, *arguments: str) -> list[str]:
    """The command line of a shim or an enter helper: no site packages, so that it starts quickly and stays
    small.
    """
    return [sys.executable, "-S", "-s", "-m", f"local_platform.node.runtime.{module}", *arguments]


def runtime_environment() -> dict[str, str]:
    return {"PYTHONPATH": str(PACKAGE_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


class Container:
    """The container `name` of one pod. `on_end` is called on the event loop when an attempt has ended."""

    def __init__(self, folder: Path, name: str, on_end: Callable[[], None]) -> None:
        self.folder = folder
        self.name = name
        self.current: Attempt | None = None
        self.previous: Attempt | None = None
        self.waiting: tuple[str, str] = ("", "")
        self.stopping: asyncio.Task[None] | None = None
        self._on_end = on_end
        self.stop_signal: int = signal.SIGTERM
        self._watching: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._policy = "File"

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.running

    @property
    def latest_started(self) -> Attempt | None:
        """The newest attempt that runs or has ended: not one whose shim is still on its way."""
        attempts = (self.current, self.previous)
        return next((one for one in attempts if one and (one.running or one.ending)), None)

    @property
    def restarts(self) -> int:
        return self.current.number if self.current else 0

    def adopt(self) -> None:
        """Take over what an earlier node process left: attempts from their folders, a live one by pid and
        start.
        """
        numbers = sorted(
            int(path.name) for path in self.folder.glob("[0-9]*") if (path / "attempt.json").exists()
        )
        attempts = [self._load(self.folder / str(number)) for number in numbers[-KEPT_ATTEMPTS:]]
        if attempts:
            self.current = attempts[-1]
            self.previous = attempts[-2] if len(attempts) > 1 else None
        if self.running:
            self._watch()

    def _load(self, folder: Path) -> Attempt:
        data = json.loads((folder / "attempt.json").read_text())
        attempt = Attempt(folder=folder, **data)
        state = folder / "state.json"
        give_up = attempt.started / 1e9 + START_SECONDS
        while not state.exists() and not (folder / "exit.json").exists() and time.time() < give_up:
            time.sleep(0.05)  # its shim was on the way when the earlier node died
        if state.exists():
            attempt = _with_processes(attempt, json.loads(state.read_text()))
        if (folder / "exit.json").exists() or attempt.shim is None or not attempt.shim.alive():
            attempt = replace(attempt, ending=self._read_ending(attempt))
        return attempt

    async def start(
        self, image: Image, spec: Callable[[Path], ContainerSpec], *, message_policy: str
    ) -> None:
        """Start the next attempt.

        Raises:
            StartError: the attempt is recorded as ended with code 128, as a container runtime does.
        """
        # Whoever waits may be cancelled, but a shim that is on its way must become known, or nobody ends it.
        work = self._start(image, spec, message_policy)
        self._starting = asyncio.get_running_loop().create_task(work)
        await asyncio.shield(self._starting)

    async def start_settled(self) -> None:
        """Return when no start is under way."""
        if self._starting and not self._starting.done():
            await asyncio.wait({self._starting})
            self._starting.exception()

    async def _start(self, image: Image, spec: Callable[[Path], ContainerSpec], message_policy: str) -> None:
        number = self.current.number + 1 if self.current else 0
        folder = self.folder / str(number)
        folder.mkdir(parents=True)
        self._policy = message_policy
        attempt = Attempt(
            folder, number, secrets.token_hex(32), str(image.repository), image.identifier, time.time_ns()
        )
        self._save(attempt)
        self.previous, self.current = self.current, attempt
        self._forget_old_attempts()
        contents = spec(folder)
        (folder / "spec.json").write_text(json.dumps(asdict(contents)))
        process = await asyncio.create_subprocess_exec(
            *runtime_command("shim", str(folder / "spec.json")),
            env=runtime_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        answer: dict[str, Any] = json.loads(out) if out else {"failed": err.decode(errors="replace")[-1000:]}
        if "failed" in answer:
            message = (
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
                f"unable to start container process: {answer['failed']}: unknown"
            )
            self._end(Ending(128, time.time_ns(), "StartError", message))
            raise StartError(message)
        self.current = _with_processes(attempt, answer["started"])
        self._watch()

    def _save(self, attempt: Attempt) -> None:
        data = {
            "number": attempt.number,
            "identifier": attempt.identifier,
            "image": attempt.image,
            "image_identifier": attempt.image_identifier,
            "started": attempt.started,
        }
        write_atomically(str(attempt.folder / "attempt.json"), json.dumps(data))

    def _end(self, ending: Ending) -> None:
        assert self.current is not None
        write_atomically(
            str(self.current.folder / "exit.json"),
            json.dumps(
                {
                    "code": ending.code,
                    "finished": ending.finished,
                    "reason": ending.reason,
                    "message": ending.message,
                }
            ),
        )
        self.current = replace(self.current, ending=ending)

    def _watch(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._wait_for_end())

    async def _wait_for_end(self) -> None:
        attempt = self.current
        assert attempt is not None
        assert attempt.shim is not None
        await attempt.shim.ended()
        self.current = replace(attempt, ending=self._read_ending(attempt))
        self._on_end()

    def _read_ending(self, attempt: Attempt) -> Ending:
        file = attempt.folder / "exit.json"
        if not file.exists():
            why = "The container's shim was killed, and the container with it; how it ended is not known"
            return Ending(137, time.time_ns(), "Error", why)
        data = json.loads(file.read_text())
        code = data["code"]
        reason = data.get("reason") or ("Completed" if code == 0 else "Error")
        if (attempt.folder / "oom").exists():
            reason = "OOMKilled"
        message = data.get("message") or self._termination_message(attempt, code)
        return Ending(code, data["finished"], reason, message)

    def _termination_message(self, attempt: Attempt, code: int) -> str:
        file = attempt.folder / "termination-log"
        text = file.read_bytes()[:LONGEST_MESSAGE].decode(errors="replace") if file.exists() else ""
        if not text and code != 0 and self._policy == "FallbackToLogsOnError" and attempt.log.exists():
            lines = attempt.log.read_bytes()[-LONGEST_MESSAGE * 2 :].splitlines()[-80:]
            text = b"\n".join(line.split(b" ", 3)[-1] for line in lines).decode(errors="replace")[-2048:]
        return text

    def kill_for_memory(self) -> None:
        """Kill the attempt and remember why, also for a later node process."""
        if self.current and self.current.running and self.current.first:
            (self.current.folder / "oom").touch()
            self.current.first.signal(signal.SIGKILL)

    async def stop(
        self, grace: float, before: Callable[[], Any] | None = None, *, number: int = signal.SIGTERM
    ) -> None:
        """preStop, then the stop signal, and SIGKILL when `grace` seconds are over; returns when it has
        ended. Without `grace` SIGKILL comes at once.

        The first process's death takes every other process of the container along: the kernel ends a PID
        namespace so.
        """
        attempt = self.current
        if attempt is None or not attempt.running:
            return
        assert attempt.shim is not None
        assert attempt.first is not None
        deadline = time.monotonic() + grace
        if before is not None and grace > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(before(), grace)
        if grace > 0:
            deadline = max(deadline, time.monotonic() + LEAST_GRACE_SECONDS)
            attempt.first.signal(number)
        ended = asyncio.ensure_future(attempt.shim.ended())
        done, _ = await asyncio.wait({ended}, timeout=max(0.0, deadline - time.monotonic()))
        if not done:
            attempt.first.signal(signal.SIGKILL)
            await ended
        if self._watching:
            await self._watching

    def _forget_old_attempts(self) -> None:
        assert self.current is not None
        for path in self.folder.glob("[0-9]*"):
            if int(path.name) <= self.current.number - KEPT_ATTEMPTS:
                remove_tree(path)

    def forget(self) -> None:
        """Stop watching; the container itself goes on."""
        if self._watching:
            self._watching.cancel()


def _with_processes(attempt: Attempt, state: dict[str, dict[str, int]]) -> Attempt:
    return replace(attempt, shim=ProcessId(**state["shim"]), first=ProcessId(**state["first"]))


def remove_tree(path: Path) -> None:
    """Remove a folder that may hold folders without permissions, as overlays leave them."""
    if not path.exists():
        return
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(folder, name)
            if not os.path.islink(inner) and stat.S_IMODE(os.lstat(inner).st_mode) & 0o700 != 0o700:
                os.chmod(inner, 0o700)
    shutil.rmtree(path)
