"""The causes of a 422, in the words of k8s.io/apimachinery `util/validation/field`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cause:
    """One entry of a Status' `details.causes`; `message` is as the server words it, without the field."""

    reason: str
    message: str
    field: str


def quoted(value: Any) -> str:
    """A value as the messages show it: JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _with(detail: str) -> str:
    return f": {detail}" if detail else ""


def invalid_value(field: str, value: Any, detail: str = "") -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {quoted(value)}{_with(detail)}", field)


def wrong_type(field: str, value: Any, detail: str = "") -> Cause:
    return Cause("FieldValueTypeInvalid", f"Invalid value: {quoted(value)}{_with(detail)}", field)


def required(field: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", f"Required value{_with(detail)}", field)


def unsupported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    values = ", ".join(quoted(one) for one in supported)
    return Cause(
        "FieldValueNotSupported", f"Unsupported value: {quoted(value)}: supported values: {values}", field
    )


def duplicate(field: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {quoted(value)}", field)


def forbidden(field: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden{_with(detail)}", field)


def not_found(field: str, value: Any) -> Cause:
    return Cause("FieldValueNotFound", f"Not found: {quoted(value)}", field)


def too_long(field: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", field)


def immutable(field: str, value: Any) -> Cause:
    return invalid_value(field, value, "field is immutable")
