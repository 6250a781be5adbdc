"""What applying manifests would change, and what of a Kubernetes object is worth comparing for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from .ports import Manifest
from .release import Target

Object = Mapping[str, Any]

_BOOKKEEPING = (
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "selfLink",
)
"""Of `metadata`: the API server writes it, and every write changes some of it."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Annotation that repeats the whole object, a Secret's values included."""
_SECRET_PARTS = ("data", "stringData")
HIDDEN, HIDDEN_BEFORE, HIDDEN_AFTER = "***", "*** (before)", "*** (after)"


class Change(StrEnum):
    """What applying a manifest would do to the object."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    """The API server would not take it."""


@dataclass(frozen=True)
class ManifestChange:
    kind: str
    name: str
    change: Change
    diff: str = ""
    """Unified diff of YAML, from the object as it is to what the API server would make of it. No secret's
    value is in it."""
    why: str = ""
    """Of one that is refused: the API server's own words."""


class DryRun(Protocol):
    """Applying without an effect (adapters.dry_run)."""

    async def changes(self, target: Target, manifests: Sequence[Manifest]) -> tuple[ManifestChange, ...]:
        """One for each manifest, in order. Nothing is stored; `Unavailable` when the API server is away."""


def comparable(before: Object | None, after: Object) -> tuple[Object, Object]:
    """Both without what no manifest says. Of a Secret only which keys it has and whether their values
    differ; `before` is None where there is no such object yet."""
    old, new = _stated(before or {}), _stated(after)
    if after.get("kind") == "Secret":
        return _masked(old, new, HIDDEN_BEFORE), _masked(new, old, HIDDEN_AFTER)
    return old, new


def _stated(found: Object) -> dict[str, Any]:
    kept = {key: value for key, value in found.items() if key not in ("status", "metadata")}
    metadata = {key: value for key, value in found.get("metadata", {}).items() if key not in _BOOKKEEPING}
    annotations = metadata.pop("annotations", None) or {}
    said = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    if said:
        metadata["annotations"] = said
    return {**kept, "metadata": metadata} if metadata else kept


def _masked(secret: Object, other: Object, differs: str) -> Object:
    """Equal values look equal, different ones different, and a value that only one has says nothing."""
    hidden = {
        part: {
            key: HIDDEN if (other.get(part) or {}).get(key, value) == value else differs
            for key, value in (secret[part] or {}).items()
        }
        for part in _SECRET_PARTS
        if part in secret
    }
    return {**secret, **hidden}
