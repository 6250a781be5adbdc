"""The services' repositories on this platform: a tree of the checkout is pushed as a next version."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local_platform.errors import PlatformError
from local_platform.signing import Committer

BRANCH = "development"
SOURCES = {"llm-service": "analyzer", "fm-llm-solver": "astro/local/stand_in/fm_llm_solver"}
"""Repository and the folder of the checkout whose tree it holds."""

_NOT_COMMITTED = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")


@dataclass(frozen=True)
class Commit:
    id: str
    version: str


class ServiceRepository:
    """A clone of a service's repository, in which versions are committed, signed and pushed as a developer
    does. It begins where `start` stands, if there is such a branch, and pushes to `branch`."""

    def __init__(
        self,
        url: str,
        clone: Path,
        source: Path,
        developer: Committer,
        *,
        branch: str = BRANCH,
        start: str = "",
    ) -> None:
        self.clone = clone
        self.source = source
        self.branch = branch
        self._developer = developer
        start = start or branch
        if clone.exists():
            shutil.rmtree(clone)
        clone.mkdir(parents=True)
        self._git("init", "--quiet", f"--initial-branch={branch}")
        self._git("remote", "add", "origin", url)
        if self._git("ls-remote", "--heads", "origin", f"refs/heads/{start}"):
            self._git("pull", "--quiet", "--ff-only", "origin", start)

    def commit(self, change: Callable[[Path], None] | None = None) -> Commit:
        """Commit the source's tree, changed by `change`, with the next version number, and push it."""
        version = self._next_version()
        self._take_source()
        edit(self.clone / "pyproject.toml", r'(?m)^version = "[^"]+"$', f'version = "{version}"')
        if change is not None:
            change(self.clone)
        self._git("add", "--all")
        self._git(
            "commit", "--quiet", "--allow-empty", "--message", f"feat: take the checkout's tree as {version}"
        )
        self._git("push", "--quiet", "origin", self.branch)
        return Commit(self._git("rev-parse", "HEAD"), version)

    def commit_tree(self, tree: str, message: str, *, branch: str = "") -> str:
        """Commit a tree that is in the clone's objects on top of what it stands at, and push that; the work
        tree stays as it is."""
        commit = self._git("commit-tree", "-S", "-p", "HEAD", "-m", message, tree)
        self._git("push", "--quiet", "origin", f"{commit}:refs/heads/{branch or self.branch}")
        return commit

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *self._developer.options(), *arguments],
            cwd=self.clone,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PlatformError(f"git {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def _next_version(self) -> str:
        """The committed version with its middle number raised by one; the source's own at first."""
        committed = self.clone / "pyproject.toml"
        if not committed.exists():
            return _version(self.source / "pyproject.toml")
        major, minor, *_ = _version(committed).split(".")
        return f"{major}.{int(minor) + 1}.0"

    def _take_source(self) -> None:
        for old in self.clone.iterdir():
            if old.name != ".git":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        shutil.copytree(self.source, self.clone, dirs_exist_ok=True, ignore=_NOT_COMMITTED)


def edit(path: Path, pattern: str, new: str) -> None:
    """Replace the one place of a file that matches `pattern`."""
    text, count = re.subn(pattern, lambda _: new, path.read_text(encoding="utf-8"))
    if count != 1:
        raise PlatformError(f"cannot edit {path.name}: {count} places match {pattern!r}")
    path.write_text(text, encoding="utf-8")


def _version(pyproject: Path) -> str:
    return str(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"])
