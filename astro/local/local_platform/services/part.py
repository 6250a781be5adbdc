"""What a part of the local platform is to the supervisor."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from local_platform.errors import PlatformError
from local_platform.kept import Ports, Secrets
from local_platform.layout import Layout

# What a shell may have exported for other work and what would change ours unseen.
FOREIGN = (
    "AIRFLOW",
    "ANALYZER_",
    "KUBECONFIG",
    "PG",
    "PLATFORM_OPS_",
    "GIT_",
    "RCLONE_",
    "AWS_",
    "PYTHON",
    "VIRTUAL_ENV",
)


@dataclass(frozen=True)
class Context:
    """The platform that a part belongs to."""

    layout: Layout
    ports: Ports
    secrets: Secrets

    def address(self, port: str) -> str:
        return f"127.0.0.1:{self.ports[port]}"

    def url(self, port: str) -> str:
        return f"http://{self.address(port)}"

    def environment(self) -> dict[str, str]:
        """The shell's environment without what belongs to other work, our programs first on the path."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        folders = [str(self.layout.tools / "venv" / "bin"), str(self.layout.tools / "bin")]
        last = ["/usr/sbin:/sbin", str(self.layout.tools / "debian" / "usr" / "bin")]
        env["PATH"] = os.pathsep.join([*folders, env.get("PATH", "/usr/bin:/bin"), *last])
        env["PYTHONUNBUFFERED"] = "1"
        # Packages for images come through whatever proxy the machine trusts.
        env.setdefault("UV_SYSTEM_CERTS", "1")
        return env


@dataclass(frozen=True)
class Command:
    """A command line with the settings that its environment adds."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    configuration: str = ""
    """What its configuration file says; a process with an older one has to be started again."""


class Part:
    """One process of the platform, or (without a command) one step that must have been done.

    Every method may run again at any time: after a crash, after Ctrl-C, on a platform that is up already.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    """Parts that must answer first."""
    ports: ClassVar[tuple[str, ...]] = ()
    """Loopback ports by name; the first one is the part's own."""
    ready_seconds: ClassVar[float] = 60.0
    adopts: ClassVar[bool] = False
    """Its next process goes on with what the last one left running, such as pods; only `down` ends that."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_seconds: ClassVar[float] = 10.0

    def __init__(self, platform: Context) -> None:
        self.platform = platform

    def prepare(self) -> None:
        """Write what the process needs before it starts: data folder, configuration."""

    def command(self) -> Command | None:
        """The process to run; None for a step."""
        return None

    def probe(self) -> None:
        """Ask over the part's own protocol; raise NotReadyError with what was seen instead of an answer."""

    def complete(self) -> None:
        """Put in place what needs the running process: databases, buckets, objects."""

    def after_stop(self) -> None:
        """What must be ended besides when the part goes down (not when it is only started again)."""

    def where(self) -> str:
        """Where a person or a program finds it."""
        return self.platform.url(self.ports[0]) if self.ports else ""


def run_step(argv: Sequence[str], *, env: Mapping[str, str], what: str, seconds: float = 180.0) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        PlatformError: it failed; the text ends with its last lines.
    """
    try:
        done = subprocess.run(
            argv,
            env=dict(env),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise PlatformError(
            f"{what}: the program {argv[0]} is missing; `make setup` downloads it again"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise PlatformError(f"{what}: no end after {seconds:.0f} s; is the machine overloaded?") from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise PlatformError(f"{what} failed (exit code {done.returncode}):\n{tail}")
    return done.stdout


def package_folder(name: str) -> Path:
    """Where an installed package keeps its files, without importing it (some do a lot when imported).

    Raises:
        PlatformError: it is not installed.
    """
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise PlatformError(f"the package {name} is missing; `make setup` installs it again")
    return Path(found.submodule_search_locations[0])
