"""The three patch formats: JSON patch (RFC 6902), JSON merge patch (RFC 7396), strategic merge patch.

Every function leaves its arguments alone and returns the patched object. What cannot be applied raises
`PatchError` with the status, reason and message of the real server.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from .schema import TypeSchema
from .strategic_merge import MergeError, merge_objects

# The server hides what exactly was wrong with a JSON patch (apiserver `patch.go`, NewGenericServerResponse).
REJECTED = "the server rejected our request due to an error in our request"


class PatchError(Exception):
    """A patch that the server refuses. `reason` may be empty, as it is in some of the server's answers."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class _Unpatchable(Exception):
    pass


def merge_patch(obj: Mapping[str, Any], patch: Any) -> dict[str, Any]:
    """RFC 7396. A patch that is no object is a 400, worded as Go's decoder words it."""
    if not isinstance(patch, Mapping):
        raise PatchError(
            400,
            "BadRequest",
            f"error decoding patch: json: cannot unmarshal {_go_kind(patch)} "
            "into Go value of type map[string]interface {}",
        )
    merged: dict[str, Any] = _merged(obj, patch)
    return merged


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = copy.deepcopy(dict(target)) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def strategic_merge_patch(obj: Mapping[str, Any], patch: Any, schema: TypeSchema | None) -> dict[str, Any]:
    """The strategic merge patch of built-in kinds. Custom kinds (no schema, or one of a CRD) answer 415."""
    if schema is None or schema.custom:
        raise PatchError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )
    if not isinstance(patch, Mapping):
        raise PatchError(
            400,
            "BadRequest",
            f"error decoding patch: json: cannot unmarshal {_go_kind(patch)} "
            "into Go value of type map[string]interface {}",
        )
    try:
        return merge_objects(copy.deepcopy(dict(obj)), copy.deepcopy(dict(patch)), schema)
    except MergeError as error:
        raise PatchError(500, "", str(error)) from error


def json_patch(obj: Mapping[str, Any], operations: Any) -> dict[str, Any]:
    """RFC 6902. A failed test or a missing path is 422 with the server's general sentence."""
    if not isinstance(operations, list):
        raise PatchError(
            400,
            "BadRequest",
            f"error decoding patch: json: cannot unmarshal {_go_kind(operations)} "
            "into Go value of type jsonpatch.Patch",
        )
    document: Any = copy.deepcopy(dict(obj))
    try:
        for operation in operations:
            document = _operate(document, operation)
    except _Unpatchable as error:
        raise PatchError(422, "Invalid", REJECTED) from error
    if not isinstance(document, dict):
        raise PatchError(422, "Invalid", REJECTED)
    return document


def _operate(document: Any, operation: Any) -> Any:
    if not isinstance(operation, Mapping) or not isinstance(operation.get("path"), str):
        raise _Unpatchable("an operation without a path")
    path = _tokens(operation["path"])
    match operation.get("op"):
        case "add":
            return _add(document, path, _value(operation))
        case "remove":
            return _remove(document, path)
        case "replace":
            _get(document, path)
            return _set(document, path, _value(operation))
        case "test":
            _test(document, path, operation.get("value"))
            return document
        case "copy":
            return _add(document, path, copy.deepcopy(_get(document, _source(operation))))
        case "move":
            moved = _get(document, _source(operation))
            return _add(_remove(document, _source(operation)), path, moved)
    raise _Unpatchable(f"unknown operation {operation.get('op')!r}")


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise _Unpatchable("an operation without a value")
    return copy.deepcopy(operation["value"])


def _source(operation: Mapping[str, Any]) -> list[str]:
    if not isinstance(operation.get("from"), str):
        raise _Unpatchable("an operation without from")
    return _tokens(operation["from"])


def _tokens(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise _Unpatchable(f"{pointer!r} is no JSON pointer")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    for token in path:
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list):
            document = document[_index(document, token)]
        else:
            raise _Unpatchable(f"no {token!r}")
    return document


def _index(items: list[Any], token: str, *, end: int | None = None) -> int:
    end = len(items) if end is None else end
    try:
        index = int(token)
    except ValueError as error:
        raise _Unpatchable(f"{token!r} is no index") from error
    if index < 0:
        index += len(items)
    if not 0 <= index < end:
        raise _Unpatchable(f"index {token} is out of bounds")
    return index


def _test(document: Any, path: list[str], expected: Any) -> None:
    try:
        actual = _get(document, path)
    except _Unpatchable:
        if expected is None:
            return
        raise
    if json.dumps(actual, sort_keys=True) != json.dumps(expected, sort_keys=True):
        raise _Unpatchable("test failed")


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        place = len(parent) if last == "-" else _index(parent, last, end=len(parent) + 1)
        parent.insert(place, value)
    else:
        raise _Unpatchable("the parent holds no fields")
    return document


def _set(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    parent[last if isinstance(parent, dict) else _index(parent, last)] = value
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise _Unpatchable("the whole document cannot be removed")
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict) and last in parent:
        del parent[last]
    elif isinstance(parent, list):
        del parent[_index(parent, last)]
    else:
        raise _Unpatchable(f"no {last!r}")
    return document


def _go_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case Mapping():
            return "object"
    return "null"
