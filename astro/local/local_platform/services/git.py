"""git: bare repositories, reached by the catalog's addresses through git's own `url.<base>.insteadOf`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from local_platform.services.part import Part, run_step

PUBLIC_PREFIX = "https://git.example.com/platform/"
BRANCHES = ("main", "staging", "development")
# Repository and the folder of the checkout that its first commit holds.
SOURCES = {"llm-service": "analyzer", "fm-llm-solver": "astro/local/stand_in/fm_llm_solver"}
AUTHOR = {"GIT_AUTHOR_NAME": "developer", "GIT_AUTHOR_EMAIL": "developer@example.com"}
COMMITTER = {"GIT_COMMITTER_NAME": "developer", "GIT_COMMITTER_EMAIL": "developer@example.com"}


class Git(Part):
    name: ClassVar[str] = "git"

    def complete(self) -> None:
        for name, source in SOURCES.items():
            folder = self.platform.layout.root / source
            if folder.is_dir() and not self.repository(name).exists():
                self._seed(name, folder)

    def repository(self, name: str) -> Path:
        return self.platform.layout.data(self.name) / f"{name}.git"

    def _seed(self, name: str, source: Path) -> None:
        """One commit with the service's tree on all three branches, moved into place when complete."""
        env = {**self.platform.environment(), **AUTHOR, **COMMITTER, "GIT_CONFIG_GLOBAL": "/dev/null"}
        target = self.repository(name)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            work, bare = Path(folder) / "work", Path(folder) / "bare"
            ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info", ".hypothesis", ".venv")
            shutil.copytree(source, work, ignore=ignored)

            def git(*arguments: str) -> None:
                run_step(["git", *arguments], env=env, what=f"git {arguments[0]} ({name})")

            git("init", "--quiet", f"--initial-branch={BRANCHES[0]}", str(work))
            git("-C", str(work), "add", "--all")
            git("-C", str(work), "commit", "--quiet", "-m", f"{name} as the platform found it")
            for branch in BRANCHES[1:]:
                git("-C", str(work), "branch", branch)
            git("clone", "--quiet", "--bare", str(work), str(bare))
            git("-C", str(bare), "remote", "remove", "origin")
            bare.rename(target)

    def where(self) -> str:
        return str(self.platform.layout.data(self.name))

    def settings(self) -> dict[str, str]:
        """What makes any git of a process fetch the catalog's addresses from here."""
        base = f"{self.platform.layout.data(self.name).as_uri()}/"
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{base}.insteadOf",
            "GIT_CONFIG_VALUE_0": PUBLIC_PREFIX,
        }
