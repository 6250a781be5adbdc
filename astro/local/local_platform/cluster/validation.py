"""What the server refuses: fields that do not exist (400) and values that are not allowed (422)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cause:
    """One entry of a Status' `details.causes`; `message` is as the server words it, without the field."""

    reason: str
    message: str
    field: str


def strict_errors(obj: Mapping[str, Any]) -> list[str]:
    """Unknown fields as `unknown field "spec.replicaz"`."""
    return []


def invalid(obj: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[Cause]:
    """The causes of a 422; none when the object may be stored."""
    return []
