"""Debian packages without root, without dpkg's database and without anything installed on this machine."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import subprocess
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from local_platform.images.errors import BuildError

_LINE = re.compile(r"^'(?P<url>[^']+)' (?P<file>\S+) (?P<size>\d+) ?(?P<hash>\S*)$")


@dataclass(frozen=True)
class Apt:
    """apt with folders of its own."""

    folder: Path

    def resolve(self, packages: tuple[str, ...], leave_out: tuple[str, ...]) -> list[str]:
        """The file names of `packages` and of all that they depend on, in a stable order.

        They are asked for once a set of names: the answer is kept, so that the next build needs no network.
        """
        key = hashlib.sha256(json.dumps([sorted(packages), sorted(leave_out)]).encode()).hexdigest()[:32]
        kept = self.folder / f"resolved-{key}.json"
        if kept.is_file():
            files: list[str] = json.loads(kept.read_text())
            if all((self.folder / "packages" / name).is_file() for name in files):
                return files
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            # Two builds would exchange each other's status file, which decides what is resolved.
            fcntl.flock(lock, fcntl.LOCK_EX)
            files = self._download(packages, leave_out)
            kept.write_text(json.dumps(files))
        return files

    def _download(self, packages: tuple[str, ...], leave_out: tuple[str, ...]) -> list[str]:
        self._prepare(leave_out)
        install = ("--no-install-recommends", "--yes", "install", *packages)
        listed = self._run("apt-get", "-qq", "--print-uris", *install)
        files = sorted(match["file"] for line in listed.splitlines() if (match := _LINE.match(line)))
        self._run("apt-get", "-qq", "--download-only", *install)
        self._collect(files)
        return files

    def path(self, file: str) -> Path:
        """Where a resolved file is."""
        return self.folder / "packages" / file

    def _collect(self, files: list[str]) -> None:
        (self.folder / "packages").mkdir(exist_ok=True)
        for name in files:
            downloaded = self.folder / "cache/archives" / name
            if downloaded.is_file():
                downloaded.rename(self.path(name))
            elif not self.path(name).is_file():
                raise BuildError(
                    f"apt-get did not download {urllib.parse.unquote(name)}; run the build again"
                )

    def _prepare(self, leave_out: tuple[str, ...]) -> None:
        """Package lists of the machine's own sources, and a status file that holds only what is left out."""
        for name in ("state/lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text(
            "".join(
                f"Package: {name}\nStatus: install ok installed\nVersion: 999\nArchitecture: amd64\n"
                "Multi-Arch: allowed\nMaintainer: none <none@localhost>\nDescription: left out\n\n"
                for name in sorted(leave_out)
            )
        )
        # One foreign source that is away must not matter: what counts is whether our packages resolve.
        self._run("apt-get", "-qq", "update", fatal=False)

    def _run(self, *command: str, fatal: bool = True) -> str:
        settings = (
            f"Dir::State={self.folder}/state",
            f"Dir::State::lists={self.folder}/state/lists",
            f"Dir::State::status={self.folder}/status",
            f"Dir::Cache={self.folder}/cache",
            "APT::Sandbox::User=",
            "APT::Architecture=amd64",
            "Acquire::Languages=none",
            "Debug::NoLocking=1",
            "Acquire::Retries=3",
        )
        options = [part for setting in settings for part in ("-o", setting)]
        try:
            done = subprocess.run(
                [command[0], *options, *command[1:]], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            raise BuildError(f"{command[0]} is missing: the image builder needs Debian or Ubuntu") from None
        if done.returncode and fatal:
            reason = done.stderr.strip() or done.stdout.strip()
            raise BuildError(f"{command[0]} {command[-1]} failed: {reason}")
        return done.stdout


def control_fields(package: Path) -> str:
    """The control paragraph of a package file."""
    done = subprocess.run(["dpkg-deb", "-f", str(package)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{package.name}: {done.stderr.strip()}")
    return done.stdout
