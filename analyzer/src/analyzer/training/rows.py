"""Reads labelled lines: gzipped or plain JSON lines, one labelled place each.

A row has `context` (the line, or a few, with `⟦VALUE⟧` where the value stood),
    `label` (1: a secret stood there),
`group` (the hashed repository), `category`, `file_type`, `variable_name`,
    `weak` (an identifier-like positive) and
either `value` or `shape` ({length, lower, upper, digit, other}: how many characters of each class it had).
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARK = "⟦VALUE⟧"
MAX_ROW = 1 << 20


class BadRows(ValueError):
    """The data cannot be trained on; the message says which row and why."""


@dataclass(frozen=True)
class Shape:
    """How many characters of each class a value had."""

    length: int
    lower: int
    upper: int
    digit: int
    other: int


@dataclass(frozen=True)
class Row:
    """One labelled place. Its representation leaves the value out."""

    context: str
    label: int
    group: str
    category: str
    file_type: str
    variable_name: str
    weak: bool
    shape: Shape
    value: str | None

    def __repr__(self) -> str:
        return f"Row({self.category!r}, label={self.label}, group={self.group!r})"


def read_rows(path: Path) -> list[Row]:
    """The rows of a file in their order; raises `BadRows` with the number of the first row that is not
    one."""
    rows = []
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if len(line) > MAX_ROW:
                raise BadRows(f"{path}: row {number} is longer than {MAX_ROW} bytes")
            try:
                rows.append(_row(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise BadRows(f"{path}: row {number} is not a labelled line: {error!r}") from None
    return rows


def _row(fields: dict[str, Any]) -> Row:
    label = fields["label"]
    if label not in (0, 1):
        raise ValueError("the label is neither 0 nor 1")
    value = fields.get("value")
    shape = fields.get("shape")
    if MARK not in fields["context"]:
        raise ValueError("the context does not mark where the value stood")
    if value is None and shape is None:
        raise ValueError("it has neither a value nor a shape")
    return Row(
        context=str(fields["context"]),
        label=label,
        group=str(fields["group"]),
        category=str(fields.get("category", "")),
        file_type=str(fields.get("file_type", "")),
        variable_name=str(fields.get("variable_name", "")),
        weak=bool(fields.get("weak", False)),
        shape=Shape(**shape) if shape is not None else shape_of(str(value)),
        value=None if value is None else str(value),
    )


def shape_of(value: str) -> Shape:
    """The shape that `value` has."""
    lower = sum(c.islower() for c in value)
    upper = sum(c.isupper() for c in value)
    digit = sum(c.isdigit() for c in value)
    return Shape(len(value), lower, upper, digit, len(value) - lower - upper - digit)


def data_hash(path: Path) -> str:
    """sha256 of the file's bytes, as the model's card states it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
