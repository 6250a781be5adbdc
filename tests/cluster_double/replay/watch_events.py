"""The events of a watch: how far each object has come, and what became of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .comparison import Comparison
from .correspondence import Correspondence
from .scrubbing import Scrubber


def is_artefact(event: Mapping[str, Any]) -> bool:
    """What only etcd 3.4 answers: see the recordings' README, (a) and (b)."""
    status = event.get("object") or {}
    return event.get("type") == "ERROR" and status.get("code") in (500, 504)


def _names(event: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(kind/namespace/name, state) of the objects an event speaks of; a Table may hold several rows."""
    obj = event.get("object") or {}
    if obj.get("kind") == "Table":
        return [(_key(row.get("object") or {}), row) for row in obj.get("rows") or ()]
    return [(_key(obj), obj)]


def _key(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata") or {}
    return f"{obj.get('kind')}/{metadata.get('namespace', '')}/{metadata.get('name', '')}"


_Stage = tuple[int, str]
_NOTHING: _Stage = (0, "")


def stages(events: Sequence[Any]) -> dict[str, list[_Stage]]:
    """By generic object name, how far each object with that name has come, the furthest first.

    A stage is how often the object was deleted, and what happened to it since: ADDED, then MODIFIED.
    """
    last: dict[str, _Stage] = {}
    for event in events:
        kind = str(event.get("type"))
        for name, _ in _names(event):
            deletions = last.get(name, _NOTHING)[0]
            last[name] = (deletions + 1, "") if kind == "DELETED" else (deletions, kind)
    grouped: dict[str, list[_Stage]] = {}
    for name, stage in last.items():
        grouped.setdefault(_generic(name), []).append(stage)
    return {name: sorted(stages, reverse=True) for name, stages in grouped.items()}


def as_far(have: Sequence[_Stage], wanted: Sequence[_Stage]) -> bool:
    """Whether the objects can be paired so that none is behind its partner."""
    return len(have) >= len(wanted) and all(mine >= due for mine, due in zip(have, wanted, strict=False))


def _generic(name: str) -> str:
    """A name without the times of Events, the hashes of templates and the tails of Pods."""
    name = re.sub(r"\.[0-9a-f]{14,16}$", "", name)
    name = re.sub(r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}(-[bcdfghjklmnpqrstvwxz2456789]{5})?$", "-*", name)
    return re.sub(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$", "-*", name)


def typed(events: Sequence[Any], *, periodic: bool) -> list[tuple[str, str, Any]]:
    """(object, type, state) in order; states of Table rows with their columns."""
    columns: Any = None
    found = []
    for event in events:
        obj = event.get("object") or {}
        if obj.get("kind") == "Table":
            columns = obj.get("columnDefinitions") or columns
            for name, row in _names(event):
                if name.endswith("/openshift-service-ca.crt"):
                    continue
                table = {"kind": "Table", "columnDefinitions": columns, "rows": [row]}
                found.append((name, str(event["type"]), table))
        elif event.get("type") == "BOOKMARK":
            found += _bookmark(obj, periodic)
        elif (obj.get("metadata") or {}).get("name") != "openshift-service-ca.crt":
            found.append((_key(obj), str(event.get("type")), obj))
    return found


def _bookmark(obj: Mapping[str, Any], periodic: bool) -> list[tuple[str, str, Any]]:
    """A bookmark's object is empty but for its version; the one after the initial events says so.

    The `periodic` others come when the server likes: they count where a scenario is about them.
    """
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    first = annotations.get("k8s.io/initial-events-end") == "true"
    if not first and not periodic:
        return []
    name = f"{obj.get('kind')}/bookmark/{'initial-events-end' if first else ''}"
    return [(name, "BOOKMARK", {"kind": obj.get("kind")})]


def by_object(
    events: list[tuple[str, str, Any]], scrubber: Scrubber, comparison: Comparison
) -> dict[str, Any]:
    """Per object the types without repeats and the last state; objects of one generic name in a list."""
    histories: dict[str, tuple[list[str], Any]] = {}
    for name, kind, state in events:
        types, _ = histories.get(name, ([], None))
        if types and types[-1] == kind:
            comparison.normalisations.add("coalesced events")
        else:
            types.append(kind)
        histories[name] = (types, state)
    grouped: dict[str, list[Any]] = {}
    for name, (types, state) in histories.items():
        shown = {"types": types, "last": scrubber.scrubbed(state)}
        grouped.setdefault(_generic(scrubber.scrubbed(name)), []).append(shown)
    return {
        name: sorted(states, key=lambda one: json.dumps(one, sort_keys=True))
        for name, states in grouped.items()
    }


def learn_events(recorded: Sequence[Any], actual: Sequence[Any], correspondence: Correspondence) -> None:
    """Pairs objects by their first appearance, and their last versions."""
    first_left, first_right = _firsts(recorded), _firsts(actual)
    used: set[str] = set()
    for name, (left, left_last) in first_left.items():
        match = next(
            (other for other in first_right if other not in used and _generic(other) == _generic(name)), None
        )
        if match is not None:
            used.add(match)
            right, right_last = first_right[match]
            correspondence.learn(left, right)
            correspondence.learn(left_last, right_last)


def _firsts(events: Sequence[Any]) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for event in events:
        for name, state in _names(event):
            found[name] = (found[name][0] if name in found else state, state)
    return found
