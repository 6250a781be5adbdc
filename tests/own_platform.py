"""A local platform of the tests' own: its own folder, its own ports, gone when the tests end."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from guard import guarded

from local_platform import processes
from local_platform.cluster_access import ClusterAccess
from local_platform.layout import CHECKOUT, Layout
from local_platform.parts import PARTS
from local_platform.product import OWNER_ONLY, all_settings
from local_platform.services.airflow import passwords
from local_platform.services.git import PUBLIC_PREFIX, Git
from local_platform.services.part import Part
from local_platform.sources import ServiceRepository
from local_platform.supervisor import Supervisor

WITHOUT_AIRFLOW = tuple(
    part.name for part in PARTS if not part.name.startswith("airflow") and part.name != "controller"
)
"""Everything that a release touches, and nobody who would act by himself."""


@dataclass
class OwnPlatform:
    """The parts run as `make up` runs them; `supervisor` starts, finds and stops them."""

    supervisor: Supervisor
    state: Path

    def up(self, *parts: str) -> None:
        """Start the named parts, and what they need; all of them without a name."""
        with _without_settings_of_this_process():
            self.supervisor.up(parts)

    def pids(self, part: str) -> list[int]:
        """Every process of a part."""
        return [process.pid for process in self.supervisor.members(self._part(part))]

    def kill(self, part: str) -> None:
        """SIGKILL to every process of a part at once; returns when none is left."""
        members = self.supervisor.members(self._part(part))
        assert members, f"{part} does not run, so it cannot be killed"
        processes.send(members, signal.SIGKILL)
        processes.end_rest(members, self.supervisor.record(self._part(part)), f"{self.state}/{part}", 5.0)

    def send(self, part: str, number: signal.Signals) -> None:
        """A signal to every process of a part, such as SIGSTOP."""
        processes.send(self.supervisor.members(self._part(part)), number)

    def url(self, port: str) -> str:
        """Address of a port by its name: gateway, inbox, prometheus, airflow, s3, ..."""
        return self.supervisor.platform.url(port)

    def kubeconfig(self, identity: str = "admin") -> Path:
        return ClusterAccess(self.supervisor.platform).kubeconfig(identity)

    @property
    def settings(self) -> dict[str, str]:
        """PLATFORM_OPS_* and git's, as the product's processes get them."""
        with _without_settings_of_this_process():
            every = all_settings(self.supervisor.platform)
        return {name: value for name, value in every.items() if name != OWNER_ONLY}

    @property
    def passwords(self) -> dict[str, str]:
        """Airflow user to password."""
        return passwords(self.supervisor.platform)

    def dsn(self, role: str, database: str, scheme: str = "postgresql") -> str:
        """An address of the platform's PostgreSQL; the role `postgres` may do everything."""
        secret = "postgres" if role == "postgres" else f"postgres-{role}"
        password = self.supervisor.platform.secrets[secret]
        return f"{scheme}://{role}:{password}@{self.supervisor.platform.address('postgres')}/{database}"

    def run(
        self, *argv: str, settings: Mapping[str, str] | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the checkout with the product's settings; the caller looks at the exit code."""
        environment = {**self.supervisor.platform.environment(), **self.settings, **(settings or {})}
        return subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def ops(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """The `ops` command."""
        return self.run("ops", *arguments, seconds=seconds)

    def kubectl(self, *arguments: str, identity: str = "admin") -> str:
        """What kubectl prints; a refused command fails the test with its words."""
        done = self.run("kubectl", f"--kubeconfig={self.kubeconfig(identity)}", *arguments)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def pages(self, channel: str = "") -> list[dict[str, Any]]:
        """What the inbox received in Slack, oldest first."""
        query = {"kind": "slack", "channel": channel}
        answer = httpx.get(f"{self.url('inbox')}/api/messages", params=query, trust_env=False)
        answer.raise_for_status()
        messages: list[dict[str, Any]] = answer.json()["messages"]
        return messages

    def repository(self, service: str, clone: Path) -> ServiceRepository:
        """A developer's clone of a service's repository on this platform."""
        return Git(self.supervisor.platform).clone(service, clone)

    def public_url(self, service: str) -> str:
        return f"{PUBLIC_PREFIX}{service}.git"

    def left_over(self) -> list[str]:
        """Every process that carries a mark of this platform or was started from its folder."""
        return [f"{pid} {command}" for pid, command in started_from(self.state)]

    def down(self) -> None:
        self.supervisor.down()

    def _part(self, name: str) -> Part:
        return next(part for part in PARTS if part.name == name)(self.supervisor.platform)


@contextmanager
def own_platform() -> Iterator[OwnPlatform]:
    """A platform without any process yet; at the end nothing of it is left, and that is asserted.

    A guard process stops it even when this process is killed.
    """
    folder = tempfile.TemporaryDirectory(prefix="po-", ignore_cleanup_errors=True)
    with folder as name:
        state = Path(name).resolve() / "p"
        supervisor = Supervisor(Layout(CHECKOUT, state), _report)
        platform = OwnPlatform(supervisor, state)
        with guarded(state):
            try:
                yield platform
            finally:
                platform.down()
        left = platform.left_over()
        assert not left, f"left over by the platform: {left}"


def _report(part: str, event: str) -> None:
    """Shown by pytest when a test fails."""
    print(f"{part}: {event}")


@contextmanager
def _without_settings_of_this_process() -> Iterator[None]:
    """The platform's processes get the platform's settings, whatever a test has put into this process."""
    given = {name: value for name, value in os.environ.items() if name.startswith("PLATFORM_OPS_")}
    for name in given:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(given)


def started_from(folder: Path) -> Iterator[tuple[int, str]]:
    """Pid and command line of every process that names the folder or is a part of a platform in it."""
    for pid in processes.table():
        if pid == os.getpid():
            continue
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words or f"{processes.MARK}={folder}".encode() in environment:
            yield pid, words.replace(b"\0", b" ").decode(errors="replace")[:200]
