"""The object without content that a bookmark carries: its Go type, written with no field set.

Go writes structs held by value, and null for required lists, maps and pointers that nobody set.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from .schema import GroupVersionKind, Schema, TypeSchema

JSON = dict[str, Any]

_ZERO: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False}
# Numbers that are plain in the server's internal type, so that the conversion sets the pointer of the
# versioned type (k8s.io/kubernetes/pkg/apis/apps).
_CONVERTED_ZERO = {"DeploymentSpec": "replicas", "ReplicaSetSpec": "replicas", "StatefulSetSpec": "replicas"}


@cache
def empty_content(kind: GroupVersionKind) -> JSON:
    """What an object of this kind shows besides kind, apiVersion and metadata; nothing for custom kinds."""
    schema = Schema.for_kind(kind)
    if schema is None or schema.custom:
        return {}
    content = _empty(schema)
    content.pop("metadata", None)
    return content


def _empty(schema: TypeSchema) -> JSON:
    found: JSON = {}
    if always_zero := _CONVERTED_ZERO.get(schema.short_name):
        found[always_zero] = 0
    for name, child in schema.fields.items():
        if name in schema.by_value_structs:
            found[name] = _empty(child)
        elif name in schema.required:
            found[name] = _ZERO.get(child.form)
    return found
