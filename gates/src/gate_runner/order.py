"""What a gate is asked to do: the JSON that the platform hands over."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Order:
    """One gate of one service. Paths are relative to the tree and may hold `*`."""

    gate: str
    """`format`, `imports`, `lint`, `types`, or a test suite: `unit`, `integration`, `api`."""
    tool: str
    """`black`, `isort`, `flake8`, `mypy`, `ruff` or `pytest`."""
    paths: tuple[str, ...]
    """What is looked at: sources, or for a suite where its tests stand."""
    line_length: int = 88
    strict: bool = False
    """mypy --strict."""
    import_paths: tuple[str, ...] = ()
    """Folders from which the tree imports."""
    covered: tuple[str, ...] = ()
    """Folders whose coverage a suite measures."""
    skips_allowed: int = 0
    """How many tests of a suite may be skipped or expected to fail."""
    seconds: int = 120
    """Time limit."""

    @classmethod
    def parse(cls, text: str) -> Order:
        """Raises ValueError that names what is missing or unknown."""
        given = json.loads(text)
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise ValueError(f"unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        if missing := [name for name in ("gate", "tool", "paths") if name not in given]:
            raise ValueError(f"{', '.join(missing)} must be given")
        return cls(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        )
