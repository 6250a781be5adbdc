"""git: bare repositories, reached by the catalog's addresses through git's own `url.<base>.insteadOf`.

They are empty at first: a push starts a promotion, so nothing is pushed unasked
(`python -m local_platform push`).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from local_platform.services.part import Part, run_step
from local_platform.signing import SERVICE, Keys
from local_platform.sources import BRANCH, SOURCES, ServiceRepository

PUBLIC_PREFIX = "https://git.example.com/platform/"


class Git(Part):
    name: ClassVar[str] = "git"

    def complete(self) -> None:
        self.keys.complete()
        for name in SOURCES:
            if not self.repository(name).exists():
                self._create(name)

    @property
    def keys(self) -> Keys:
        """Who signs commits here."""
        return Keys(self.platform.layout.data(self.name) / "keys", self.platform.layout)

    def clone(
        self, service: str, folder: Path, *, branch: str = BRANCH, start: str = ""
    ) -> ServiceRepository:
        """A developer's clone of a service's repository."""
        url, source = str(self.repository(service)), self.platform.layout.root / SOURCES[service]
        developer = self.keys.committer("developer")
        return ServiceRepository(url, folder, source, developer, branch=branch, start=start)

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
        """What makes any git of a process fetch the catalog's addresses from here, and who may sign."""
        base = f"{self.platform.layout.data(self.name).as_uri()}/"
        return {
            "PLATFORM_OPS_ALLOWED_SIGNERS": str(self.keys.allowed_signers),
            "PLATFORM_OPS_SIGNING_KEY": str(self.keys.key(SERVICE)),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{base}.insteadOf",
            "GIT_CONFIG_VALUE_0": PUBLIC_PREFIX,
        }
