"""The versions that the demonstration commits: our analyzer as it stands, with a new version number, and,
if asked
for, with a defect that the checks of a preview do not meet but users do."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from local_platform.errors import PlatformError

BRANCH = "development"
LONG_CONTEXT = 200
"""Characters. The defects show on longer contexts only, which users send and the checks do not."""

_PLACE = "        verdict = await engine.analyse(body)\n"
_NOT_COMMITTED = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")


class Fault(StrEnum):
    """What is wrong with the second version."""

    ERRORS = "errors"
    LATENCY = "latency"
    CRASH = "crash"


_DEFECTS = {
    Fault.ERRORS: 'raise RuntimeError("the context window is too small")',
    Fault.LATENCY: "await __import__('asyncio').sleep(2.0)",
    Fault.CRASH: "__import__('os')._exit(70)",
}


@dataclass(frozen=True)
class Commit:
    id: str
    version: str


class DemoRepository:
    """A clone of the demonstration's repository, in which versions of the analyzer are committed and
    pushed."""

    def __init__(self, url: str, clone: Path, analyzer: Path) -> None:
        self.clone = clone
        self.analyzer = analyzer
        if clone.exists():
            shutil.rmtree(clone)
        clone.mkdir(parents=True)
        _git(clone, "init", "--quiet", f"--initial-branch={BRANCH}")
        _git(clone, "remote", "add", "origin", url)
        if _git(clone, "ls-remote", "--heads", "origin", BRANCH):
            _git(clone, "pull", "--quiet", "--ff-only", "origin", BRANCH)

    def commit(self, fault: Fault | None = None) -> Commit:
        """Commit and push the next version."""
        version = self._next_version()
        self._take_analyzer()
        self._set_version(version)
        if fault is not None:
            self._spoil(fault)
        _git(self.clone, "add", "--all")
        _git(self.clone, "commit", "--quiet", "--message", f"Release {version}")
        _git(self.clone, "push", "--quiet", "origin", BRANCH)
        return Commit(_git(self.clone, "rev-parse", "HEAD"), version)

    def _next_version(self) -> str:
        """The committed version with its middle number raised by one; the analyzer's own at first."""
        pyproject = self.clone / "pyproject.toml"
        if not pyproject.exists():
            return str(tomllib.loads((self.analyzer / "pyproject.toml").read_text())["project"]["version"])
        major, minor, *_ = tomllib.loads(pyproject.read_text())["project"]["version"].split(".")
        return f"{major}.{int(minor) + 1}.0"

    def _take_analyzer(self) -> None:
        for old in self.clone.iterdir():
            if old.name != ".git":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        shutil.copytree(self.analyzer, self.clone, dirs_exist_ok=True, ignore=_NOT_COMMITTED)

    def _set_version(self, version: str) -> None:
        self._edit("pyproject.toml", r'(?m)^version = "[^"]+"$', f'version = "{version}"')

    def _spoil(self, fault: Fault) -> None:
        defect = f"        if len(body.context) > {LONG_CONTEXT}:\n            {_DEFECTS[fault]}\n"
        self._edit("src/analyzer/service/app.py", re.escape(_PLACE), defect + _PLACE)

    def _edit(self, name: str, pattern: str, new: str) -> None:
        path = self.clone / name
        text, count = re.subn(pattern, lambda _: new, path.read_text())
        if count != 1:
            raise PlatformError(f"the demonstration cannot edit {name}: {count} places match {pattern!r}")
        path.write_text(text)


def _git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=Demo Developer", "-c", "user.email=developer@example.com")
    done = subprocess.run(
        ["git", *author, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PlatformError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()
