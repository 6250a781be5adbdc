"""The last valid copy of a file that DAGs are made of: a broken edit must not stop what runs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from platform_ops.core.errors import CatalogError

from .fields import Model

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Loaded(Generic[M]):
    """What can be worked with, and what is wrong with the file (then it is the copy)."""

    value: M
    problems: tuple[str, ...] = ()


def load_last_valid(model: type[M], load: Callable[[], M], state: Path | None, name: str) -> Loaded[M]:
    """What `load` gives, or the last one that was good, with the file's problems.

    A good one replaces the copy `name` in `state`. CatalogError when the file is broken and no copy exists.
    """
    copy_path = state / name if state is not None else None
    try:
        value = load()
    except CatalogError as broken:
        if copy_path is None or (kept := _kept(model, copy_path)) is None:
            raise
        return Loaded(kept, broken.problems)
    try:
        if copy_path is not None:
            _keep(value, copy_path)
    except OSError as unwritable:
        why = f"{copy_path}:1: catalog: the last valid copy cannot be written ({unwritable.strerror})"
        return Loaded(value, (why,))
    return Loaded(value)


def canonical(value: Model) -> str:
    """All of it with the defaults written out, equal for equal values."""
    return json.dumps(value.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def _kept(model: type[M], copy_path: Path) -> M | None:
    """The copy, unless there is none or an older version with other keys wrote it."""
    try:
        return model.model_validate_json(copy_path.read_bytes())
    except (OSError, ValidationError):
        return None


def _keep(value: Model, copy_path: Path) -> None:
    text = canonical(value)
    if copy_path.exists() and copy_path.read_text(encoding="utf-8") == text:
        return
    copy_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=copy_path.parent, prefix=".catalog-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, copy_path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
