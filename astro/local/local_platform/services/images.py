"""The images that platform-ops itself uses: the analyzer that scans, the gates, the side-car with results."""

from __future__ import annotations

import fcntl
import json
import sys
from pathlib import Path
from typing import ClassVar

from local_platform.kept import read_table, write_private
from local_platform.services.part import Context, Part, run_step

# Name in the registry -> what it is built from.
SOURCES = {"base": "builtin:base", "analyzer": "analyzer", "gates": "gates"}


def references(platform: Context) -> dict[str, str]:
    """Name -> reference by digest; empty until the images are built."""
    return read_table(_table(platform))


def cache(platform: Context) -> Path:
    """Layers by content, shared by all platforms of the checkout."""
    return platform.layout.tools / "images"


def _table(platform: Context) -> Path:
    return platform.layout.data("images") / "references.json"


class Images(Part):
    """The step that builds and pushes them; unchanged sources take their layers from the cache."""

    name: ClassVar[str] = "images"
    needs: ClassVar[tuple[str, ...]] = ("registry",)

    def complete(self) -> None:
        folder = cache(self.platform)
        folder.mkdir(parents=True, exist_ok=True)
        # Two platforms that come up beside each other would both build the same layers.
        with (folder / "lock").open("w") as alone:
            fcntl.flock(alone, fcntl.LOCK_EX)
            built = {name: self._build(name, source) for name, source in SOURCES.items()}
        write_private(_table(self.platform), json.dumps(built, indent=1) + "\n")

    def _build(self, name: str, source: str) -> str:
        metadata = self.platform.layout.data("images") / f"{name}.json"
        context = source if source.startswith("builtin:") else str(self.platform.layout.root / source)
        repository = f"{self.platform.address('registry')}/{name}"
        options = [f"--context={context}", f"--repository={repository}", "--tag=local", "--plain-http"]
        options += [f"--metadata-file={metadata}", f"--cache={cache(self.platform)}"]
        argv = [sys.executable, "-m", "local_platform.images", "build", *options]
        run_step(argv, env=self.platform.environment(), what=f"building the image {name}", seconds=600)
        digest = json.loads(metadata.read_text(encoding="utf-8"))["containerimage.digest"]
        return f"{repository}@{digest}"

    def where(self) -> str:
        return ", ".join(reference.partition("/")[2][:30] for reference in references(self.platform).values())
