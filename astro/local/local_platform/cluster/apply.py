"""Server-side apply: merge what a client applies into the live object, and keep account of who owns what.

Follows structured-merge-diff `merge/update.go` and `typed/merge.go`, and apimachinery `managedfields`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import managed_fields
from .field_sets import (
    EMPTY,
    MISSING,
    FieldSet,
    Path,
    compare,
    describe,
    field_set,
    is_leaf,
    item_element,
    remove_items,
    with_named_fields,
)
from .managed_fields import ManagerKey, Managers, Owned
from .patching import PatchError
from .schema import TypeSchema
from .validation import Cause

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY = "before-first-apply"
KUBECTL = "kubectl"


@dataclass(frozen=True)
class Conflict:
    """A field that another manager owns with another value."""

    manager: ManagerKey
    path: Path

    @property
    def owner(self) -> str:
        name, operation, api_version, subresource = self.manager
        text = json.dumps(name, ensure_ascii=False)
        if subresource:
            text += f' with subresource "{subresource}"'
        return f"{text} using {api_version}" if operation == "Update" else text


class ApplyConflict(Exception):
    """409: other managers own fields that the applied object wants to change."""

    def __init__(self, conflicts: Iterable[Conflict]) -> None:
        self.conflicts = sorted(conflicts, key=lambda one: (one.owner, one.path))
        self.causes = [
            Cause("FieldManagerConflict", f"conflict with {one.owner}", describe(one.path))
            for one in self.conflicts
        ]
        self.message = _conflict_message(self.conflicts)
        super().__init__(self.message)


def _conflict_message(conflicts: list[Conflict]) -> str:
    if len(conflicts) == 1:
        only = conflicts[0]
        return f"Apply failed with 1 conflict: conflict with {only.owner}: {describe(only.path)}"
    lines: list[str] = []
    for owner in dict.fromkeys(one.owner for one in conflicts):
        lines.append(f"conflicts with {owner}:")
        lines += [f"- {describe(one.path)}" for one in conflicts if one.owner == owner]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


def server_side_apply(
    live: Mapping[str, Any] | None,
    applied: Mapping[str, Any],
    *,
    manager: str,
    force: bool,
    now: str,
    schema: TypeSchema | None,
    subresource: str = "",
) -> dict[str, Any]:
    """The object after `manager` applied `applied` to `live` (None: it does not exist yet).

    Returned without defaults, with metadata.managedFields. An apply that changes nothing returns the live
    object as it is. Raises `ApplyConflict`, and `PatchError` for a field that the type does not declare.
    `now` is RFC 3339.
    """
    _refuse_undeclared(applied, schema)
    attempt = _Attempt(live, applied, manager, now, schema, subresource)
    try:
        result = attempt.run(force=force)
    except ApplyConflict as conflict:
        allowed = _allowed_by_last_applied(live, manager, schema)
        refused = [one for one in conflict.conflicts if one.path not in allowed]
        if refused or not allowed:
            raise ApplyConflict(refused or conflict.conflicts) from None
        result = attempt.run(force=True)
    return _with_last_applied(result, applied, manager)


class _Attempt:
    def __init__(
        self,
        live: Mapping[str, Any] | None,
        applied: Mapping[str, Any],
        manager: str,
        now: str,
        schema: TypeSchema | None,
        subresource: str,
    ) -> None:
        self.stored = live
        self.live = managed_fields.without_managed_fields(live) if live else _blank(applied)
        self.applied = dict(applied)
        self.now = now
        self.schema = schema
        self.api_version = str(applied.get("apiVersion", ""))
        self.key = managed_fields.key_of(manager, "Apply", self.api_version, subresource)

    def run(self, *, force: bool) -> dict[str, Any]:
        managers = self._managers()
        before = dict(managers)
        last = managers.get(self.key)
        wanted = field_set(self.applied, self.schema) - managed_fields.NEVER_OWNED
        managers[self.key] = Owned(wanted, self.api_version, last.time if last else None)
        merged = _merge(self.live, self.applied, self.schema)
        merged = self._prune(merged, managers, last)
        self._settle_conflicts(merged, managers, force=force)
        unchanged = merged == self.live and self.stored is not None
        if unchanged and _same_owners(before, managers):
            return copy.deepcopy(dict(self.stored or {}))
        # A manager that only came to own what was there already gets no new time, a new one gets none at all.
        if self.key in managers and not unchanged:
            managers[self.key] = replace(managers[self.key], time=self.now)
        merged.setdefault("metadata", {})["managedFields"] = managed_fields.encode(managers)
        return merged

    def _managers(self) -> Managers:
        managers = managed_fields.decode(managed_fields.entries_of(self.stored))
        if managers or self.stored is None:
            return managers
        entries = managed_fields.track(
            None, self.live, manager=BEFORE_FIRST_APPLY, now=self.now, schema=self.schema
        )
        return managed_fields.decode(entries)

    def _prune(self, merged: dict[str, Any], managers: Managers, last: Owned | None) -> dict[str, Any]:
        """Removes what this manager applied last time, not now, and nobody else owns."""
        if last is None or not last.fields:
            return merged
        schema = self.schema
        pruned = remove_items(merged, with_named_fields(last.fields, schema), schema) or {}
        claimed = frozenset().union(*(owned.fields for owned in managers.values()))
        all_paths = _paths(merged, schema)
        keep = with_named_fields(_paths(pruned, schema), schema) | with_named_fields(claimed, schema)
        pruned = remove_items(merged, with_named_fields(all_paths, schema) - keep, schema) or {}
        dangling = (_paths(merged, schema) - _paths(pruned, schema)) & last.fields
        result: dict[str, Any] = remove_items(merged, dangling, schema) or {}
        return result

    def _settle_conflicts(self, merged: dict[str, Any], managers: Managers, *, force: bool) -> None:
        changes = compare(self.live, merged, self.schema)
        changed = frozenset(changes.modified | changes.added)
        conflicts = [
            Conflict(key, path)
            for key, owned in managers.items()
            if key != self.key
            for path in owned.fields & changed
        ]
        if conflicts and not force:
            raise ApplyConflict(conflicts)
        for key in list(managers):
            owned = managers[key]
            left = owned.fields if key == self.key else owned.fields - changes.removed - changed
            if left:
                managers[key] = replace(owned, fields=left)
            else:
                del managers[key]


def _blank(applied: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": applied.get("apiVersion"), "kind": applied.get("kind"), "metadata": {}}


def _paths(value: Any, schema: TypeSchema | None) -> FieldSet:
    return field_set(value, schema)


def _same_owners(before: Managers, after: Managers) -> bool:
    return {key: owned.fields for key, owned in before.items()} == {
        key: owned.fields for key, owned in after.items()
    }


def _merge(live: Any, applied: Any, schema: TypeSchema | None) -> Any:
    if applied is MISSING:
        return copy.deepcopy(live)
    if live is MISSING or live is None or is_leaf(applied, schema):
        return copy.deepcopy(applied)
    if isinstance(applied, Mapping) and isinstance(live, Mapping):
        merged = {key: copy.deepcopy(value) for key, value in live.items() if key not in applied}
        for key, value in applied.items():
            child = schema.child(key) if schema else None
            result = _merge(live.get(key, MISSING), value, child)
            if result is not None:
                merged[key] = result
        return merged
    if isinstance(applied, list) and isinstance(live, list) and schema is not None:
        return _merge_lists(live, applied, schema)
    return copy.deepcopy(applied)


def _merge_lists(live: list[Any], applied: list[Any], schema: TypeSchema) -> list[Any]:
    """Keyed items merge; the applied order wins, live items keep their place among what they share."""
    left = {item_element(item, schema): item for item in live}
    right = {item_element(item, schema): item for item in applied}
    left_keys, right_keys = list(left), list(right)
    shared = [key for key in right_keys if key in left]
    done: set[str] = set()
    merged: list[Any] = []
    i = j = 0
    while i < len(left_keys) or j < len(right_keys):
        if i < len(left_keys):
            key = left_keys[i]
            if key not in right:
                merged.append(copy.deepcopy(left[key]))
                i += 1
                continue
            if key in done or (shared and shared[0] != key and j < len(right_keys)):
                i += 1
                continue
        if j < len(right_keys):
            key = right_keys[j]
            merged.append(_merge(left.get(key, MISSING), right[key], schema.items))
            done.add(key)
            j += 1
            if shared and shared[0] == key:
                shared.pop(0)
    return merged


def _refuse_undeclared(applied: Mapping[str, Any], schema: TypeSchema | None) -> None:
    if schema is None:
        return
    errors = list(_undeclared(applied, schema, ""))
    if not errors:
        return
    metadata = applied.get("metadata", {})
    group, _, version = str(applied.get("apiVersion", "")).rpartition("/")
    name = (
        f"{metadata['namespace']}/{metadata.get('name', '')}"
        if metadata.get("namespace")
        else (f"/{metadata.get('name', '')}")
    )
    kind = f"{group}/{version}" if group else f"/{version}"
    text = errors[0] if len(errors) == 1 else "errors:\n" + "\n".join(f"  {one}" for one in errors)
    raise PatchError(
        500,
        "",
        f"failed to create typed patch object ({name}; {kind}, Kind={applied.get('kind')}): {text}",
    )


def _undeclared(value: Any, schema: TypeSchema | None, path: str) -> Iterable[str]:
    if schema is None or schema.form == "any" or schema.preserves_unknown:
        return
    if isinstance(value, Mapping) and schema.form in ("object", "map"):
        for key, child in value.items():
            child_schema = schema.child(key)
            if child_schema is None and schema.form == "object" and schema.fields:
                yield f"{path}.{key}: field not declared in schema"
            else:
                yield from _undeclared(child, child_schema, f"{path}.{key}")
    elif isinstance(value, list) and schema.form == "list":
        for index, item in enumerate(value):
            inside = f"[{index}]" if schema.atomic else describe((item_element(item, schema),))
            yield from _undeclared(item, schema.items, path + inside)


def _allowed_by_last_applied(
    live: Mapping[str, Any] | None, manager: str, schema: TypeSchema | None
) -> FieldSet:
    """Fields that kubectl may take over without force: those it set by client-side apply before."""
    text = _annotations(live).get(LAST_APPLIED)
    if manager != KUBECTL or not text:
        return EMPTY
    try:
        last = json.loads(text)
    except ValueError:
        return EMPTY
    own = ("f:metadata", "f:annotations", f"f:{LAST_APPLIED}")
    return field_set(last, schema) | {own}


def _with_last_applied(result: dict[str, Any], applied: Mapping[str, Any], manager: str) -> dict[str, Any]:
    """Keeps the client-side annotation in step when kubectl itself applies on the server."""
    annotations = _annotations(result)
    if manager != KUBECTL or not annotations.get(LAST_APPLIED):
        return result
    plain = copy.deepcopy(managed_fields.without_managed_fields(applied))
    plain["metadata"].get("annotations", {}).pop(LAST_APPLIED, None)
    annotations[LAST_APPLIED] = json.dumps(plain, separators=(",", ":"), ensure_ascii=False) + "\n"
    return result


def _annotations(obj: Mapping[str, Any] | None) -> dict[str, Any]:
    if not obj:
        return {}
    found: dict[str, Any] = obj.get("metadata", {}).get("annotations") or {}
    return found


__all__ = ["ApplyConflict", "Conflict", "server_side_apply"]
