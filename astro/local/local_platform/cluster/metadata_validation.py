"""Rules of metadata, the same for every kind (apimachinery `api/validation/objectmeta.go`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .causes import Cause, immutable, invalid_value, required, too_long
from .name_formats import (
    label_1035_errors,
    label_errors,
    label_value_errors,
    path_segment_errors,
    qualified_name_errors,
    subdomain_errors,
)
from .schema import kind_of

_ANNOTATIONS_LIMIT = 256 * 1024
_FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_NAME_FORMATS: Mapping[str, Callable[[str], list[str]]] = {
    "Namespace": label_errors,
    "Service": label_1035_errors,
    "Role": path_segment_errors,
    "RoleBinding": path_segment_errors,
    "ClusterRole": path_segment_errors,
    "ClusterRoleBinding": path_segment_errors,
}


def metadata_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    """Name, labels, annotations, owners; what may never change at an update."""
    metadata = obj.get("metadata") or {}
    causes = _name(metadata, kind_of(obj)[2])
    causes += _labels("metadata.labels", metadata.get("labels"))
    causes += _annotations(metadata.get("annotations"))
    causes += _owners(metadata.get("ownerReferences"))
    if old is not None:
        causes += _fixed(metadata, old["metadata"])
    return causes


def _name(metadata: Mapping[str, Any], kind: str) -> list[Cause]:
    errors_of = _NAME_FORMATS.get(kind, subdomain_errors)
    name = metadata.get("name")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    causes = []
    prefix = metadata.get("generateName")
    if prefix:
        masked = prefix[:-1] + "a" if prefix.endswith("-") else prefix
        causes += [invalid_value("metadata.generateName", prefix, one) for one in errors_of(masked)]
    return causes + [invalid_value("metadata.name", name, one) for one in errors_of(name)]


def label_causes(field: str, labels: Mapping[str, Any] | None) -> list[Cause]:
    return _labels(field, labels)


def _labels(field: str, labels: Mapping[str, Any] | None) -> list[Cause]:
    causes = []
    for key, value in (labels or {}).items():
        causes += [invalid_value(field, key, one) for one in qualified_name_errors(key)]
        causes += [invalid_value(field, value, one) for one in label_value_errors(str(value))]
    return causes


def _annotations(annotations: Mapping[str, Any] | None) -> list[Cause]:
    field = "metadata.annotations"
    causes = []
    size = 0
    for key, value in (annotations or {}).items():
        causes += [invalid_value(field, key, one) for one in qualified_name_errors(key.lower())]
        size += len(key) + len(str(value))
    if size > _ANNOTATIONS_LIMIT:
        causes.append(too_long(field, _ANNOTATIONS_LIMIT))
    return causes


def _owners(owners: Any) -> list[Cause]:
    causes = []
    for index, owner in enumerate(owners or ()):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                field = f"metadata.ownerReferences[{index}].{name}"
                detail = "must not be empty" if name != "apiVersion" else "version must not be empty"
                causes.append(invalid_value(field, owner.get(name, ""), detail))
    return causes


def _fixed(metadata: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    causes = []
    for name in _FIXED:
        if metadata.get(name) == old.get(name):
            continue
        cause = immutable(f"metadata.{name}", metadata.get(name))
        # ValidateObjectMetaUpdate is called by the generic store and by the kind's own update: a changed
        # uid is therefore named twice.
        causes += [cause, cause] if name == "uid" else [cause]
    return causes
