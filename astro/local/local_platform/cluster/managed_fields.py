"""metadata.managedFields: who set which field, and since when.

Follows k8s.io/apimachinery `managedfields` and structured-merge-diff `merge/update.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from .field_sets import EMPTY, FieldSet, compare, from_fields_v1, to_fields_v1
from .schema import TypeSchema

# Never owned by anybody: identity and what the server itself writes (managedfields `stripmeta.go`).
NEVER_OWNED: FieldSet = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    }
)
MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"

# (manager, operation, apiVersion, subresource); apiVersion is empty for appliers, who keep one entry
# whatever version they apply.
ManagerKey: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True)
class Owned:
    """What one manager owns. `time` is RFC 3339, None when the entry carried none."""

    fields: FieldSet
    api_version: str
    time: str | None = None


Managers: TypeAlias = dict[ManagerKey, Owned]


def key_of(manager: str, operation: str, api_version: str, subresource: str = "") -> ManagerKey:
    return manager, operation, "" if operation == "Apply" else api_version, subresource


def decode(entries: Iterable[Mapping[str, Any]] | None) -> Managers:
    """The table form of metadata.managedFields."""
    managers: Managers = {}
    for entry in entries or ():
        if not entry.get("operation"):
            continue
        api_version = str(entry.get("apiVersion", ""))
        key = key_of(
            str(entry.get("manager", "")), entry["operation"], api_version, str(entry.get("subresource", ""))
        )
        owned = Owned(from_fields_v1(entry.get("fieldsV1") or {}), api_version, entry.get("time"))
        if key in managers:
            owned = replace(owned, fields=owned.fields | managers[key].fields)
        managers[key] = owned
    return managers


def encode(managers: Managers) -> list[dict[str, Any]]:
    """metadata.managedFields in the server's order: appliers, then updaters by time."""
    entries = []
    for (manager, operation, _, subresource), owned in managers.items():
        entry = {
            "manager": manager,
            "operation": operation,
            "apiVersion": owned.api_version,
            "time": owned.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(owned.fields),
            "subresource": subresource,
        }
        entries.append({name: value for name, value in entry.items() if value not in (None, "")})
    entries.sort(
        key=lambda one: (
            one["operation"],
            one.get("time", ""),
            one.get("manager", ""),
            one["apiVersion"],
            one.get("subresource", ""),
        )
    )
    return entries


def entries_of(obj: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if not obj:
        return []
    return list(obj.get("metadata", {}).get("managedFields") or ())


def without_managed_fields(obj: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def track(
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    *,
    manager: str,
    operation: str = "Update",
    now: str,
    schema: TypeSchema | None,
    subresource: str = "",
) -> list[dict[str, Any]]:
    """metadata.managedFields of `new` after `manager` wrote it over `old` (None at a create).

    Entries that the client sent are taken when they are valid; an empty first entry resets them, as with
    the real server. `now` is RFC 3339. The entry's time moves only when the manager gained fields.
    """
    managers = _starting_point(old, new)
    if old is not None and not managers:
        # An object that nobody owned when it was created stays untracked until somebody applies it
        # (managedfields `skipnonapplied.go`).
        return []
    api_version = str(new.get("apiVersion", ""))
    before = without_managed_fields(old) if old else _empty_like(new)
    changes = compare(before, without_managed_fields(new), schema)
    gained = frozenset(changes.added | changes.modified)
    touched = gained | changes.removed
    for key in list(managers):
        owned = managers[key]
        if left := owned.fields - touched:
            managers[key] = replace(owned, fields=left)
        else:
            del managers[key]
    gained -= NEVER_OWNED
    if gained:
        key = key_of(manager, operation, api_version, subresource)
        # The manager's own earlier fields that this write touched were dropped above and come back here.
        earlier = managers[key].fields if key in managers else EMPTY
        # The scale subresource's own bookkeeping (managedfields `scalehandler.go`) keeps no time.
        managers[key] = Owned(gained | earlier, api_version, None if subresource == "scale" else now)
    return encode(_capped(managers))


def _starting_point(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Managers:
    sent = new.get("metadata", {}).get("managedFields")
    if isinstance(sent, list) and sent:
        if sent[0] == {}:
            return {}
        decoded = decode(sent)
        if decoded:
            return decoded
    return decode(entries_of(old))


def _empty_like(obj: Mapping[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": {}}
    return empty


def _capped(managers: Managers) -> Managers:
    """At most ten updaters: the oldest become one entry (managedfields `capmanagers.go`)."""
    updaters = [key for key in managers if key[1] == "Update"]
    surplus = len(updaters) - MAX_UPDATE_MANAGERS
    if surplus <= 0:
        return managers
    oldest = sorted(updaters, key=lambda key: (managers[key].time or "", key))[: surplus + 1]
    for key in oldest:
        owned = managers.pop(key)
        ancient = key_of(ANCIENT, "Update", owned.api_version)
        earlier = managers[ancient].fields if ancient in managers else EMPTY
        managers[ancient] = replace(owned, fields=owned.fields | earlier)
    return managers


def same_but_for_times(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a write changes nothing but times in managedFields: such a write is not stored."""
    if without_managed_fields(old) != without_managed_fields(new):
        return False

    def timeless(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
        plain = [{key: value for key, value in one.items() if key != "time"} for one in entries_of(obj)]
        return sorted(plain, key=repr)

    return timeless(old) == timeless(new)
