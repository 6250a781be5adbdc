"""Starts the parts in the order of their needs, tells how they are, and stops them again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from local_platform import processes
from local_platform.errors import NotReadyError, PlatformError
from local_platform.kept import Ports, Secrets, is_free
from local_platform.layout import Layout
from local_platform.parts import PARTS, PORTS, needed
from local_platform.services.part import Command, Context, Part

STRAY_SECONDS = 3.0
"""How long left-over processes of a part may take to end before they are killed."""
Report = Callable[[str, str], None]
"""Is told a part's name and what happens to it."""


@dataclass(frozen=True)
class Health:
    """How one part is: `up`, `down` (no process) or `failing` (a process that does not answer)."""

    part: Part
    state: str
    detail: str


class Supervisor:
    def __init__(self, layout: Layout, report: Report) -> None:
        self._layout = layout
        self._report = report
        self._abandoned = threading.Event()
        layout.create()
        ports = Ports(layout.state / "ports.json")
        with self._alone("choose ports"):
            ports.choose(list(PORTS))
        self.platform = Context(layout, ports, Secrets(layout.state / "secrets.json"))

    # ------------------------------------------------------------------ up
    def up(self, names: Sequence[str] = ()) -> None:
        """Bring the named parts (all without a name) and what they need into service.

        Raises:
            PlatformError: a part cannot be started, or does not answer in time. What runs by then stays up.
        """
        parts = [part(self.platform) for part in needed(names)]
        with self._alone("make up"), ThreadPoolExecutor(max_workers=len(parts)) as pool:
            try:
                self._raise_all(parts, pool)
            except BaseException:
                self._abandoned.set()
                raise

    def _raise_all(self, parts: list[Part], pool: ThreadPoolExecutor) -> None:
        waiting, done = {part.name: part for part in parts}, set[str]()
        at_work: dict[Future[None], str] = {}
        while waiting or at_work:
            for part in [part for part in waiting.values() if done.issuperset(part.needs)]:
                at_work[pool.submit(self._raise_one, part)] = waiting.pop(part.name).name
            finished, _ = wait(at_work, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                done.add(at_work.pop(future))

    def _raise_one(self, part: Part) -> None:
        command = part.command()
        started = time.monotonic()
        fresh = command is not None and self._start(part, command)
        if command is not None:
            self._await(part)
        part.complete()
        if fresh:
            self._report(
                part.name, f"ready after {time.monotonic() - started:.1f} s  {part.where()}".rstrip()
            )
        elif command is None:
            self._report(part.name, f"done  {part.where()}".rstrip())
        else:
            self._report(part.name, f"was up  {part.where()}".rstrip())

    def _start(self, part: Part, command: Command) -> bool:
        """Start the part's process unless it runs with these very settings; returns whether it did."""
        record, fingerprint = self._record(part), _fingerprint(command)
        if processes.running(record) and record is not None:
            if record.fingerprint == fingerprint:
                return False
            self._report(part.name, "its settings have changed: stopping it, to start it again")
        if part.adopts:
            processes.end_first(record, part.stop_signal, part.stop_seconds)
        else:
            self._stop_one(part)
        part.prepare()
        left_running = part.adopts and processes.family(record, self._mark(part))
        if part.ports and not left_running:
            self._insist_on_free(part, self.platform.ports[part.ports[0]])
        self._report(part.name, "starting")
        env = {**self.platform.environment(), **command.env, processes.MARK: self._mark(part)}
        processes.start(
            command.argv,
            env=env,
            cwd=self._layout.state,
            log=self._log(part),
            record=self._record_path(part),
            fingerprint=fingerprint,
        )
        return True

    def _insist_on_free(self, part: Part, port: int) -> None:
        if not is_free(port):
            holder = processes.listener(port) or "a process of another user"
            raise PlatformError(
                f"{part.name}: port {port} is taken by {holder}; stop that, or delete the port's line in"
                f" {self._layout.state / 'ports.json'} while the platform is down, and another one is chosen"
            )

    def _await(self, part: Part) -> None:
        deadline, pause, seen = time.monotonic() + part.ready_seconds, 0.1, "no answer"
        while time.monotonic() < deadline:
            if not processes.running(self._record(part)):
                raise PlatformError(f"{part.name} ended while starting:\n{self._tail(part)}")
            try:
                part.probe()
            except NotReadyError as error:
                seen = str(error)
            else:
                return
            if self._abandoned.wait(pause):
                raise PlatformError(f"{part.name}: given up, since another part failed")
            pause = min(pause * 1.5, 1.0)
        raise PlatformError(
            f"{part.name} is not ready after {part.ready_seconds:.0f} s ({seen});"
            f" its log is {self._log(part)}"
        )

    # ------------------------------------------------------------------ status
    def status(self) -> list[Health]:
        """How every part is now; the steps are left out."""
        parts = [part(self.platform) for part in PARTS]
        kept = [part for part in parts if part.command() is not None]
        with ThreadPoolExecutor(max_workers=8) as pool:
            return list(pool.map(self._health, kept))

    def _health(self, part: Part) -> Health:
        if not processes.running(self._record(part)):
            return Health(part, "down", "no process")
        try:
            part.probe()
        except NotReadyError as error:
            return Health(part, "failing", str(error))
        return Health(part, "up", part.where())

    def record(self, part: Part) -> processes.Record | None:
        return self._record(part)

    def members(self, part: Part) -> list[processes.Process]:
        """Every process of a part."""
        return processes.family(self._record(part), self._mark(part))

    # ------------------------------------------------------------------ down
    def down(self) -> int:
        """Stop everything in reverse order; returns how many processes had to be killed.

        Raises:
            PlatformError: some part could not be stopped properly; all others are stopped nevertheless.
        """
        troubles: list[str] = []
        with self._alone("make down"):
            killed = sum(self._stop_wave(wave, troubles) for wave in reversed(_waves()))
        if troubles:
            raise PlatformError("\n".join(troubles))
        return killed

    def _stop_wave(self, wave: list[type[Part]], troubles: list[str]) -> int:
        def stop(part: Part) -> int:
            try:
                return self._stop_one(part)
            except PlatformError as error:
                troubles.append(f"{part.name}: {error}")
                return 0

        with ThreadPoolExecutor(max_workers=len(wave)) as pool:
            return sum(pool.map(stop, [part(self.platform) for part in wave]))

    def _stop_one(self, part: Part) -> int:
        record, mark = self._record(part), self._mark(part)
        members = processes.family(record, mark)
        processes.end_first(record, part.stop_signal, part.stop_seconds)
        try:
            if record:
                part.after_stop()
        finally:
            killed = processes.end_rest(members, record, mark, STRAY_SECONDS)
        self._record_path(part).unlink(missing_ok=True)
        if members:
            self._report(part.name, f"stopped; {killed} processes had to be killed" if killed else "stopped")
        return killed

    # ------------------------------------------------------------------ names and files
    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Nobody else starts or stops parts of this platform meanwhile; the lock ends with this process."""
        path = self._layout.state / "lock"
        with path.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = path.read_text(encoding="utf-8").strip() or "another command"
                raise PlatformError(
                    f"{holder} is at work on this platform; wait for its end, or stop it"
                ) from error
            file.truncate(0)
            file.write(f"{what} (pid {os.getpid()})\n")
            file.flush()
            yield

    def _mark(self, part: Part) -> str:
        return f"{self._layout.state}/{part.name}"

    def _record_path(self, part: Part) -> Path:
        return self._layout.state / "run" / f"{part.name}.json"

    def _record(self, part: Part) -> processes.Record | None:
        return processes.read_record(self._record_path(part))

    def _log(self, part: Part) -> Path:
        return self._layout.logs / f"{part.name}.log"

    def _tail(self, part: Part) -> str:
        lines = self._log(part).read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([*lines[-8:], f"(the whole log is {self._log(part)})"])


def _waves() -> list[list[type[Part]]]:
    """The parts in groups: each group needs only earlier ones."""
    left, done, waves = list(PARTS), set[str](), list[list[type[Part]]]()
    while left:
        wave = [part for part in left if done.issuperset(part.needs)]
        waves.append(wave)
        done.update(part.name for part in wave)
        left = [part for part in left if part not in wave]
    return waves


def _fingerprint(command: Command) -> str:
    return hashlib.sha256(
        json.dumps([list(command.argv), dict(command.env), command.configuration], sort_keys=True).encode()
    ).hexdigest()
