"""What the server fills in where the client said nothing (first form: structs that Go always writes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def apply_defaults(obj: dict[str, Any], old: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns `obj` with defaults; `old` is the stored object at an update."""
    return obj
