"""Server-side printing: meta.k8s.io/v1 Tables for `kubectl get`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from .pod_status import COMPLETED
from .printers import CREATED_AT, PRINTERS, Column, Printer
from .printing import duration, parse_time
from .resources import Resource
from .schema import Schema

JSON = dict[str, Any]

_NAME = Column("Name", ".metadata.name")


def table(
    resource: Resource,
    documents: Sequence[JSON],
    metadata: JSON,
    now: datetime,
    *,
    columns: bool = True,
    include_object: str = "Metadata",
) -> JSON:
    """A Table of the objects; `columns=False` leaves the definitions out, as later events of a watch do."""
    definitions: list[JSON] | None = None
    if resource.custom:
        custom = _custom_columns(resource.custom)
        if columns:
            definitions = [
                _definition(_NAME, ("", "v1", "Pod")),
                *(_custom_definition(one) for one in custom),
            ]
        rows = [
            _row(one, [_name(one), *_custom_cells(one, custom, now)], include_object) for one in documents
        ]
    else:
        printer = PRINTERS.get(resource.kind, CREATED_AT)
        if columns:
            shown = (_NAME, *printer.columns) if printer.named else printer.columns
            definitions = [_definition(one, resource.gvk) for one in shown]
        rows = [_row(one, _cells(printer, one, now), include_object) for one in documents]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _name(document: JSON) -> str:
    return str(document["metadata"]["name"])


def _cells(printer: Printer, document: JSON, now: datetime) -> list[Any]:
    cells = printer.cells(document, now)
    return [_name(document), *cells] if printer.named else cells


def _row(document: JSON, cells: list[Any], include_object: str) -> JSON:
    row: JSON = {"cells": cells}
    phase = (document.get("status") or {}).get("phase") if document["kind"] == "Pod" else None
    if phase in COMPLETED:
        row["conditions"] = COMPLETED[phase]
    if include_object == "Object":
        row["object"] = document
    elif include_object == "Metadata":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": document["metadata"],
        }
    else:
        row["object"] = None
    return row


@cache
def _definition(column: Column, gvk: tuple[str, str, str]) -> JSON:
    return {
        "name": column.name,
        "type": column.type,
        "format": "name" if column.name == "Name" else "",
        "description": _description(column, gvk),
        "priority": 1 if column.wide else 0,
    }


def _description(column: Column, gvk: tuple[str, str, str]) -> str:
    """The text of the field that the column shows, where the column has none of its own."""
    if not column.text.startswith("."):
        return column.text
    found = Schema.for_kind(gvk)
    text = ""
    for part in column.text.lstrip(".").split("."):
        if found is None or part not in found.fields:
            return ""
        # what stands at the field itself, not what its type says about all fields of that type
        text = str(found.source["properties"][part].get("description", ""))
        found = found.fields[part]
    return text


# custom resources


def _custom_columns(version: JSON) -> list[JSON]:
    declared: list[JSON] = version.get("additionalPrinterColumns") or []
    if declared:
        return declared
    return [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]


def _custom_definition(column: JSON) -> JSON:
    described = f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    return {
        "name": column["name"],
        "type": column["type"],
        "format": column.get("format", ""),
        "description": column.get("description") or described,
        "priority": column.get("priority", 0),
    }


def _custom_cells(document: JSON, columns: Iterable[JSON], now: datetime) -> list[Any]:
    return [_custom_cell(column, _values(document, column["jsonPath"]), now) for column in columns]


def _custom_cell(column: JSON, values: list[Any], now: datetime) -> Any:
    if not values:
        return None
    value = values[0]
    match column["type"]:
        case "string":
            if isinstance(value, dict | list):
                return json.dumps(value, separators=(",", ":"))
            return ("true" if value else "false") if isinstance(value, bool) else str(value)
        case "date":
            try:
                return duration((now - parse_time(str(value))).total_seconds())
            except ValueError:
                return "<invalid>"
        case "integer":
            return int(value) if isinstance(value, int | float) else None
        case "number":
            return float(value) if isinstance(value, int | float) else None
    return value if isinstance(value, bool) else None


def _values(value: Any, path: str) -> list[Any]:
    """The simple JSON paths of printer columns: `.a.b`, `[0]`, `[*]`, `[?(@.type=="Ready")]`."""
    found = [value]
    for step in _steps(path):
        found = [after for one in found for after in _step(one, step)]
    return [one for one in found if one is not None]


@cache
def _steps(path: str) -> tuple[str, ...]:
    steps: list[str] = []
    rest = path
    while rest:
        if rest.startswith("["):
            inside, _, rest = rest[1:].partition("]")
            steps.append(f"[{inside}")
        else:
            rest = rest.lstrip(".")
            end = next((index for index, letter in enumerate(rest) if letter in ".["), len(rest))
            steps.append(rest[:end])
            rest = rest[end:]
    return tuple(steps)


def _step(value: Any, step: str) -> list[Any]:
    if not step.startswith("["):
        return [value[step]] if isinstance(value, dict) and step in value else []
    inside = step[1:]
    if inside.startswith("?(@.") and isinstance(value, list):
        key, _, wanted = inside.removeprefix("?(@.").removesuffix(")").partition("==")
        return [one for one in value if isinstance(one, dict) and one.get(key) == wanted.strip("\"'")]
    if inside == "*":
        return list(value) if isinstance(value, list) else []
    if isinstance(value, list) and inside.lstrip("-").isdigit() and -len(value) <= int(inside) < len(value):
        return [value[int(inside)]]
    if isinstance(value, dict):
        key = inside.strip("\"'")
        return [value[key]] if key in value else []
    return []
