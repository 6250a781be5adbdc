"""Strategic merge: objects merge by field, lists of objects by their merge key, directives say the rest.

Follows k8s.io/apimachinery `strategicpatch`, whose order of list items is part of the contract:
items of the patch keep the patch's order, items that only the server has keep theirs in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .schema import TypeSchema

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_FROM = "$deleteFromPrimitiveList/"
SET_ORDER = "$setElementOrder/"


class MergeError(Exception):
    """The patch does not fit the type it is meant for."""


def merge_objects(
    original: dict[str, Any], patch: dict[str, Any], schema: TypeSchema | None
) -> dict[str, Any]:
    """Merges `patch` into `original` (both are consumed) by the rules of `schema`."""
    if DIRECTIVE in patch:
        return _by_directive(original, patch)
    _retain_keys(original, patch)
    _delete_from_primitive_lists(original, patch)
    orders = _take_orders(patch)
    for key, value in patch.items():
        child = schema.child(key) if schema else None
        if value is None:
            original.pop(key, None)
        elif isinstance(value, list):
            original[key] = _merge_list_field(original.get(key), value, child, orders.pop(key, None))
        elif isinstance(value, dict) and not (child and "replace" in child.patch_strategies):
            current = original.get(key)
            original[key] = merge_objects(current if isinstance(current, dict) else {}, value, child)
        else:
            original[key] = value
    for key, order in orders.items():
        if isinstance(original.get(key), list):
            child = schema.child(key) if schema else None
            original[key] = _ordered(original[key], order, original[key], child.merge_key if child else None)
    return original


def _by_directive(original: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    match patch.pop(DIRECTIVE):
        case "replace":
            return patch
        case "delete":
            return {}
        case "merge":
            return {**original, **patch}
        case other:
            raise MergeError(f"Unknown patch type found: {other}")


def _retain_keys(original: dict[str, Any], patch: dict[str, Any]) -> None:
    if RETAIN_KEYS not in patch:
        return
    kept = patch.pop(RETAIN_KEYS)
    if not isinstance(kept, list):
        raise MergeError("invalid patch format of $retainKeys directive: a list of keys is expected")
    for key in patch:
        if not key.startswith("$") and key not in kept:
            raise MergeError("the patch has a key that is not in its $retainKeys list")
    for key in [one for one in original if one not in kept]:
        del original[key]


def _delete_from_primitive_lists(original: dict[str, Any], patch: dict[str, Any]) -> None:
    for directive in [key for key in patch if key.startswith(DELETE_FROM)]:
        key, gone = directive.removeprefix(DELETE_FROM), patch.pop(directive)
        if isinstance(original.get(key), list):
            original[key] = [item for item in original[key] if item not in gone]


def _take_orders(patch: dict[str, Any]) -> dict[str, list[Any]]:
    directives = [key for key in patch if key.startswith(SET_ORDER)]
    return {key.removeprefix(SET_ORDER): patch.pop(key) for key in directives}


def _merge_list_field(
    current: Any, patch: list[Any], schema: TypeSchema | None, order: list[Any] | None
) -> list[Any]:
    if schema is None or "merge" not in schema.patch_strategies:
        return _without_directives(patch)
    original = current if isinstance(current, list) else []
    if all(not isinstance(item, Mapping) for item in [*original, *patch]):
        merged = original + [item for item in patch if item not in original]
        return _ordered(merged, patch if order is None else order, original, None)
    key = schema.merge_key
    if key is None:
        raise MergeError(f"cannot merge lists without merge key for {schema.name or 'this list'}")
    original, patch = _list_directives(original, patch, key)
    merged = _merge_items(original, patch, key, schema.items)
    return _ordered(merged, patch if order is None else order, original, key)


def _list_directives(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carries out `$patch: delete` and `$patch: replace` items; returns what is left to merge."""
    if any(item.get(DIRECTIVE) == "replace" for item in patch):
        return [], [item for item in patch if DIRECTIVE not in item]
    plain = []
    for item in patch:
        if DIRECTIVE not in item:
            plain.append(item)
        elif item[DIRECTIVE] == "delete":
            if key not in item:
                raise MergeError(f"delete patch type with no merge key defined: {key}")
            original = [one for one in original if one.get(key) != item[key]]
        elif item[DIRECTIVE] != "merge":
            raise MergeError(f"unknown list patch type: {item[DIRECTIVE]}")
    return original, plain


def _merge_items(original: list[Any], patch: list[Any], key: str, schema: TypeSchema | None) -> list[Any]:
    merged = list(original)
    for item in patch:
        if key not in item:
            raise MergeError(f"map: {_go_map(item)} does not contain declared merge key: {key}")
        place = next((n for n, one in enumerate(merged) if one.get(key) == item[key]), None)
        if place is None:
            merged.append(merge_objects({}, dict(item), schema))
        else:
            merged[place] = merge_objects(merged[place], dict(item), schema)
    return merged


def _ordered(merged: list[Any], order: list[Any], server_order: list[Any], key: str | None) -> list[Any]:
    """Items named in `order` in that order, the others between them where the server had them."""

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, Mapping) else item

    def place_in(items: list[Any]) -> Callable[[Any], int]:
        names = [identity(item) for item in items]
        return lambda item: names.index(identity(item)) if identity(item) in names else -1

    in_order, on_server = place_in(order), place_in(server_order)
    from_patch = sorted((item for item in merged if in_order(item) >= 0), key=in_order)
    server_only = sorted((item for item in merged if in_order(item) < 0), key=on_server)
    result: list[Any] = []
    while server_only and from_patch:
        left, right = on_server(server_only[0]), on_server(from_patch[0])
        goes_first = server_only if 0 <= left < right else from_patch
        result.append(goes_first.pop(0))
    return result + server_only + from_patch


def _without_directives(items: list[Any]) -> list[Any]:
    return [
        merge_objects({}, dict(item), None) if isinstance(item, Mapping) else item
        for item in items
        if not (isinstance(item, Mapping) and DIRECTIVE in item)
    ]


def _go_map(item: Mapping[str, Any]) -> str:
    return "map[" + " ".join(f"{key}:{value}" for key, value in sorted(item.items())) + "]"
