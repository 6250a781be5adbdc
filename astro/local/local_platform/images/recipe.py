"""What to build: the table `[tool.platform-image]` in the `pyproject.toml` of a build context."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from local_platform.images.errors import BuildError


@dataclass(frozen=True)
class Recipe:
    """The declaration of one image. In the file the names are written with dashes."""

    packages: tuple[str, ...]
    """Debian packages of the base layer; their dependencies come along."""
    leave_out: tuple[str, ...] = ()
    """Debian packages that count as installed: dependencies that nothing in the image runs."""
    drop: tuple[str, ...] = ()
    """Files of those packages that the image does not need, as patterns of paths without a leading slash."""
    requirements: str | None = None
    """A requirements file with hashes for the dependency layer."""
    whole_packages: bool = False
    """Keep the sources, stubs, tests and programs of the requirements, which a tool may read or run."""
    application: tuple[str, ...] = ()
    """Files and folders of the context that the application layer has under `/app`."""
    user: str = "app"
    """Name of the user that the container runs as."""
    uid: int = 10001
    """The user's id, and its group's."""
    entrypoint: tuple[str, ...] = ()
    """What the container runs, always."""
    command: tuple[str, ...] = ()
    """Arguments of the entrypoint that a pod may replace."""
    port: int | None = None
    """The TCP port that the application listens on."""
    labels_file: str | None = None
    """Path in the image of a JSON file with the image's labels, for an application that tells them."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment variables beside the usual ones."""

    @classmethod
    def read(cls, context: Path) -> Recipe:
        """The recipe of a context; every problem of it in one `BuildError`."""
        file = context / "pyproject.toml"
        try:
            document = tomllib.loads(file.read_text())
        except OSError as error:
            raise BuildError(f"{file}: {error.strerror}: a build context needs a pyproject.toml") from None
        except tomllib.TOMLDecodeError as error:
            raise BuildError(f"{file}: {error}") from None
        table = document.get("tool", {}).get("platform-image")
        if table is None:
            raise BuildError(f"{file}: it has no table [tool.platform-image], which says what to build")
        return cls._checked(file, table)

    @classmethod
    def _checked(cls, file: Path, table: dict[str, Any]) -> Recipe:
        hints = get_type_hints(cls)
        values: dict[str, Any] = {}
        problems = []
        for key, value in table.items():
            name = key.replace("-", "_")
            if name not in hints:
                known = ", ".join(f.name.replace("_", "-") for f in fields(cls))
                problems.append(f"{file}: {key}: unknown; known are {known}")
            elif not _fits(value, hints[name]):
                problems.append(f"{file}: {key}: {_expected(hints[name])} is needed, got {value!r}")
            else:
                values[name] = tuple(value) if isinstance(value, list) else value
        if not values.get("packages"):
            problems.append(f"{file}: packages: at least one Debian package is needed")
        if problems:
            raise BuildError("\n".join(problems))
        return cls(**values)


def _fits(value: object, hint: object) -> bool:
    if hint == tuple[str, ...]:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if hint == dict[str, str]:
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    if hint is bool:
        return isinstance(value, bool)
    if hint in (int, int | None):
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    return isinstance(value, str)


def _expected(hint: object) -> str:
    if hint == tuple[str, ...]:
        return "a list of strings"
    if hint == dict[str, str]:
        return "a table of strings"
    if hint is bool:
        return "true or false"
    return "a whole number above 0" if hint in (int, int | None) else "a string"
