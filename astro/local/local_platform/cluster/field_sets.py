"""Sets of field paths, and how values relate to them: the algebra under server-side apply.

A path is a tuple of FieldsV1 elements: `f:name`, `k:{"name":"web"}` (item of a keyed list), `v:"x"` (item of
a set). Follows sigs.k8s.io/structured-merge-diff v6 (`typed/compare.go`, `tofieldset.go`, `remove.go`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from .schema import TypeSchema

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]

MISSING: Final = object()
EMPTY: FieldSet = frozenset()

# structured-merge-diff fills list keys that the client left out from the schema's defaults; the
# definitions at hand carry none, and this is the only key with one.
_KEY_DEFAULTS: Final[Mapping[str, Any]] = {"protocol": "TCP"}


def to_fields_v1(paths: Iterable[Path]) -> dict[str, Any]:
    """The trie form of managedFields."""
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _compact(root)


def _compact(node: dict[str, Any]) -> dict[str, Any]:
    children = {key: _compact(value) for key, value in node.items() if key != "."}
    if children and "." in node:
        return {".": {}, **children}
    return children


def from_fields_v1(fields: Mapping[str, Any]) -> FieldSet:
    """The paths of a FieldsV1 value."""
    found: set[Path] = set()

    def collect(node: Mapping[str, Any], path: Path) -> None:
        if path and (not node or "." in node):
            found.add(path)
        for element, child in node.items():
            if element != ".":
                collect(child, (*path, element))

    collect(fields, ())
    return frozenset(found)


def describe(path: Path) -> str:
    """A path as the server's conflict messages print it: `.spec.containers[name="web"].image`."""
    parts = []
    for element in path:
        prefix, _, rest = element.partition(":")
        if prefix == "f":
            parts.append(f".{rest}")
        elif prefix == "k":
            keys = json.loads(rest)
            parts.append("[" + ",".join(f"{key}={_dump(value)}" for key, value in sorted(keys.items())) + "]")
        else:
            parts.append(f"[={rest}]" if prefix == "v" else f"[{rest}]")
    return "".join(parts)


def item_element(item: Any, schema: TypeSchema) -> str:
    """The path element of an item of a keyed list or a set."""
    if schema.list_type == "map" and isinstance(item, Mapping):
        keys = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in schema.list_keys}
        return "k:" + _dump({key: value for key, value in sorted(keys.items()) if value is not None})
    return "v:" + _dump(item)


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def is_leaf(value: Any, schema: TypeSchema | None) -> bool:
    """Whether ownership of the value is not divided further."""
    if schema is None or (schema.form == "any" and schema.custom):
        return not isinstance(value, Mapping)
    return schema.atomic


def children_of(value: Any, schema: TypeSchema | None) -> dict[str, tuple[Any, TypeSchema | None]]:
    """The parts of a divisible value by path element, with their types."""
    if isinstance(value, Mapping):
        return {f"f:{key}": (child, schema.child(key) if schema else None) for key, child in value.items()}
    if isinstance(value, list) and schema is not None:
        return {item_element(item, schema): (item, schema.items) for item in value}
    return {}


def field_set(value: Any, schema: TypeSchema | None) -> FieldSet:
    """The paths that a client which applies `value` comes to own."""
    found: set[Path] = set()

    def collect(value: Any, schema: TypeSchema | None, path: Path) -> None:
        if is_leaf(value, schema):
            found.add(path)
            return
        for element, (child, child_schema) in children_of(value, schema).items():
            below = (*path, element)
            collect(child, child_schema, below)
            declared = schema is not None and element[2:] in schema.fields
            if element[:2] != "f:" or not declared or child is None or child == {}:
                found.add(below)

    collect(value, schema, ())
    return frozenset(found)


@dataclass
class Comparison:
    """The paths in which two values differ."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


def compare(old: Any, new: Any, schema: TypeSchema | None) -> Comparison:
    """What `new` adds to, changes in and removes from `old`."""
    result = Comparison()
    _compare(old, new, schema, (), result)
    return result


def _compare(old: Any, new: Any, schema: TypeSchema | None, path: Path, result: Comparison) -> None:
    if old is MISSING and new is MISSING:
        return
    shown = old if new is MISSING else new
    if is_leaf(shown, schema) or _different_shapes(old, new):
        if old is MISSING:
            result.added.add(path)
        elif new is MISSING:
            result.removed.add(path)
        elif old != new:
            result.modified.add(path)
        return
    before, after = _present(old, schema), _present(new, schema)
    for element in before.keys() | after.keys():
        left, right = before.get(element), after.get(element)
        child_schema = (right or left or (None, None))[1]
        _compare(
            left[0] if left else MISSING,
            right[0] if right else MISSING,
            child_schema,
            (*path, element),
            result,
        )
    if old is MISSING:
        result.added.add(path)
    elif new is MISSING:
        result.removed.add(path)


def _different_shapes(old: Any, new: Any) -> bool:
    if old is MISSING or new is MISSING:
        return False
    return isinstance(old, Mapping) != isinstance(new, Mapping) or isinstance(old, list) != isinstance(
        new, list
    )


def _present(value: Any, schema: TypeSchema | None) -> dict[str, tuple[Any, TypeSchema | None]]:
    """Children of a value, with those a Go struct has even when its JSON does not show them."""
    if value is MISSING:
        return {}
    children = {
        element: pair
        for element, pair in children_of(value, schema).items()
        if pair[0] is not None or (schema is not None and (schema.custom or element[2:] in schema.null_times))
    }
    if schema is None:
        return children
    for name in schema.always_written:
        child = schema.fields[name]
        if child.form in ("list", "map", "object"):
            children.setdefault(f"f:{name}", ([] if child.form == "list" else {}, child))
    return children


def with_named_fields(paths: FieldSet, schema: TypeSchema | None) -> FieldSet:
    """`paths` and every declared field on the way to one of them."""
    found = set(paths)
    for path in paths:
        current = schema
        for depth, element in enumerate(path[:-1]):
            if current is None:
                break
            if element.startswith("f:"):
                name = element[2:]
                if name in current.fields:
                    found.add(path[: depth + 1])
                current = current.child(name)
            else:
                current = current.items
    return frozenset(found)


def remove_items(value: Any, paths: FieldSet, schema: TypeSchema | None) -> Any:
    """`value` without what stands at `paths`; containers that become empty become None."""
    trie: dict[str, Any] = {}
    for path in paths:
        node = trie
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _remove(value, trie, schema)


def _remove(value: Any, trie: Mapping[str, Any], schema: TypeSchema | None) -> Any:
    if isinstance(value, list) and not is_leaf(value, schema):
        assert schema is not None
        items = []
        for item in value:
            below = trie.get(item_element(item, schema))
            if below is None:
                items.append(item)
            elif "." not in below:
                items.append(_remove(item, below, schema.items))
        return items or None
    if isinstance(value, Mapping) and not is_leaf(value, schema):
        kept = {}
        for key, child in value.items():
            below = trie.get(f"f:{key}")
            if below is None:
                kept[key] = child
            elif "." not in below:
                left = _remove(child, below, schema.child(key) if schema else None)
                if left is not None:
                    kept[key] = left
        return kept or None
    return value
