"""Repositories to scan, and the command as a process or in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from analyzer.cli import main

KEY = {"ANALYZER_FINGERPRINT_KEY": "a key of these tests"}


def git(repository: Path, *arguments: str) -> str:
    """Runs git as a person of this test and returns what it prints."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(repository), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(repository: Path, message: str = "change") -> str:
    """Commits everything and returns the commit's id."""
    git(repository, "add", "--all")
    git(repository, "commit", "-q", "--allow-empty", "-m", message)
    return git(repository, "rev-parse", "HEAD")


def new_repository(path: Path) -> Path:
    """A repository with one commit on `main`."""
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    (path / "readme").write_text("nothing\n")
    commit(path)
    return path


def scan(*arguments: object, output: Path) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON of a scan in this process."""
    code = main(["scan", *map(str, arguments), "--output", str(output)])
    return code, json.loads(output.read_text())


def run(*arguments: object, given: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command as people start it."""
    return subprocess.run(
        [sys.executable, "-m", "analyzer", "scan", *map(str, arguments)],
        input=given, capture_output=True, env=os.environ | environment, timeout=120, check=False,
    )  # fmt: skip
