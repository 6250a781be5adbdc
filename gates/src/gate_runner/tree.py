"""The files of a tree that a gate looks at: listed here, so that no ignore file of the tree hides one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tree:
    root: Path

    def python_files(self, patterns: Sequence[str]) -> list[Path]:
        """Every regular `.py` and `.pyi` file at or below the patterns, sorted; links are not followed."""
        found: set[Path] = set()
        for place in self.places(patterns):
            candidates = place.rglob("*") if place.is_dir() else [place]
            found.update(
                path for path in candidates
                if path.suffix in (".py", ".pyi") and path.is_file() and not path.is_symlink()
            )  # fmt: skip
        return sorted(found)

    def places(self, patterns: Sequence[str]) -> list[Path]:
        """What the patterns match, absolute and sorted."""
        found: set[Path] = set()
        for pattern in patterns:
            found.update([self.root] if pattern in (".", "") else self.root.glob(pattern))
        return sorted(found)

    def shown(self, text: str) -> str:
        """A tool's words without the place where the tree happens to lie."""
        return text.replace(f"{self.root}/", "")

    def switches(self, files: Sequence[Path], comment: re.Pattern[str]) -> Iterator[str]:
        """Lines whose comment would switch a gate off for more than one statement."""
        for path in files:
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if match := comment.search(line):
                    place = path.relative_to(self.root)
                    yield f"{place}:{number}: `{match[0].strip()}` hides problems; correct them"
