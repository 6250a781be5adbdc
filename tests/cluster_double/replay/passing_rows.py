"""Rows of tables that show Pods and workloads on their way in or out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

COMING_UP = ("ContainerCreating", "PodInitializing")


def leaving(obj: Any) -> bool:
    """Whether an object, a row of a Table or a Table of one row is of something with a deletionTimestamp."""
    if not isinstance(obj, Mapping):
        return False
    if obj.get("kind") == "Table":
        return any(leaving(row) for row in obj.get("rows") or ())
    metadata = obj.get("metadata") or (obj.get("object") or {}).get("metadata") or {}
    return bool(metadata.get("deletionTimestamp"))


def is_event_table(table: Mapping[str, Any]) -> bool:
    """Whether its rows are Events."""
    columns = [str(one.get("name")) for one in table.get("columnDefinitions") or ()]
    return table.get("kind") == "Table" and columns[:3] == ["Last Seen", "Type", "Reason"]


def settled_rows(
    recorded: Mapping[str, Any], actual: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Two Tables; rows of what was starting, working or leaving without the cells that tell of it.

    The rows are paired by their content, which is what the names come down to after the normalisations.
    """
    columns = tuple(str(one.get("name")) for one in recorded.get("columnDefinitions") or ())
    moving = next((check for start, check in _MOVING.items() if columns[: len(start)] == start), None)
    rows, others = recorded.get("rows"), actual.get("rows")
    if moving is None or not rows or not others:
        return recorded, actual
    alike = [one for one in rows if one in others]
    left = [one for one in rows if one not in alike]
    right = [one for one in others if one not in alike]
    if not left or len(left) != len(right) or not all(leaving(one) or moving(one) for one in left):
        return recorded, actual
    return (
        {**recorded, "rows": _sorted([_identity(one) for one in left])},
        {**actual, "rows": _sorted([_identity(one) for one in right])},
    )


def _pod_moves(row: Mapping[str, Any]) -> bool:
    status, restarts = row["cells"][2:4]
    if restarts not in (0, "0"):
        # It goes round, and may have gone round once more.
        return True
    return status in ("Pending", *COMING_UP) or (status == "Running" and _unready(row))


def _job_moves(row: Mapping[str, Any]) -> bool:
    return bool(row["cells"][1] == "Running")


def _replica_set_moves(row: Mapping[str, Any]) -> bool:
    return len(set(row["cells"][1:4])) > 1


def _unready(row: Mapping[str, Any]) -> bool:
    ready, _, wanted = str(row["cells"][1]).partition("/")
    return ready != wanted


def _identity(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says at any time of its object's life."""
    metadata = (row.get("object") or {}).get("metadata") or {}
    passing = ("deletionTimestamp", "deletionGracePeriodSeconds", "generation")
    return {
        "name": row["cells"][0],
        "metadata": {key: value for key, value in metadata.items() if key not in passing},
    }


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda one: json.dumps(one, sort_keys=True))


# By the first columns of a Table: whether a row's object was not where it should be.
_MOVING: dict[tuple[str, ...], Callable[[Mapping[str, Any]], bool]] = {
    ("Name", "Ready", "Status", "Restarts"): _pod_moves,
    ("Name", "Status", "Completions"): _job_moves,
    ("Name", "Ready", "Up-to-date"): _unready,
    ("Name", "Desired", "Current", "Ready"): _replica_set_moves,
}
