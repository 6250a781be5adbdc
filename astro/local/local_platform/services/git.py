"""git: bare repositories, reached by the catalog's addresses through git's own `url.<base>.insteadOf`.

They are empty at first: a push starts a promotion, so nothing is pushed unasked
(`python -m local_platform push`).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from local_platform.services.part import Part, run_step
from local_platform.sources import BRANCH, SOURCES

PUBLIC_PREFIX = "https://git.example.com/platform/"


class Git(Part):
    name: ClassVar[str] = "git"

    def complete(self) -> None:
        for name in SOURCES:
            if not self.repository(name).exists():
                self._create(name)

    def repository(self, name: str) -> Path:
        return self.platform.layout.data(self.name) / f"{name}.git"

    def _create(self, name: str) -> None:
        """Moved into place when complete, so that a killed `up` leaves no half repository."""
        target = self.repository(name)
        draft = target.with_suffix(".draft")
        argv = ["git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(draft)]
        run_step(argv, env=self.platform.environment(), what=f"git init ({name})")
        draft.rename(target)

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
