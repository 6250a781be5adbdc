"""Custom resources against the schema of their definition (kube-openapi `validate`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .causes import Cause, invalid_value, required, too_long, unsupported, wrong_type
from .schema import TypeSchema

_SKIPPED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to "
    "complete validation"
)


def custom_causes(obj: Mapping[str, Any], schema: TypeSchema) -> list[Cause]:
    """What the declared schema refuses, in the server's words."""
    causes = list(_value(obj, schema, ""))
    if any(one.reason == "FieldValueTypeInvalid" for one in causes) and _has_rules(schema):
        causes.append(Cause("FieldValueInvalid", f"Invalid value: null: {_SKIPPED}", "<nil>"))
    return causes


def _has_rules(schema: TypeSchema | None) -> bool:
    if schema is None or not schema.custom:
        return False
    if schema.source.get("x-kubernetes-validations"):
        return True
    return any(_has_rules(one) for one in (*schema.fields.values(), schema.items, schema.values))


def _value(value: Any, schema: TypeSchema | None, field: str) -> Iterator[Cause]:
    if schema is None or not schema.custom:
        return
    if value is None and schema.source.get("nullable"):
        return
    if not _has_type(value, schema):
        shown = _type_of(value)
        yield wrong_type(
            field, shown, f'{field} in body must be of type {schema.source.get("type")}: "{shown}"'
        )
        return
    yield from _scalar(value, schema, field)
    if isinstance(value, Mapping):
        yield from _object(value, schema, field)
    elif isinstance(value, list):
        yield from _list(value, schema, field)


def _has_type(value: Any, schema: TypeSchema) -> bool:
    match schema.form:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list)
        case "object" | "map":
            return isinstance(value, Mapping)
        case "int-or-string":
            return isinstance(value, int | str) and not isinstance(value, bool)
    return True


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
        case None:
            return "null"
    return "object"


def _scalar(value: Any, schema: TypeSchema, field: str) -> Iterator[Cause]:
    source = schema.source
    allowed = source.get("enum")
    if allowed and value not in allowed:
        yield unsupported(field, value, allowed)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in source and value < source["minimum"]:
            detail = f"{field} in body should be greater than or equal to {source['minimum']}"
            yield invalid_value(field, value, detail)
        if "maximum" in source and value > source["maximum"]:
            detail = f"{field} in body should be less than or equal to {source['maximum']}"
            yield invalid_value(field, value, detail)
    if isinstance(value, str):
        if "maxLength" in source and len(value) > source["maxLength"]:
            yield too_long(field, source["maxLength"])
        if len(value) < source.get("minLength", 0):
            detail = f"{field} in body should be at least {source['minLength']} chars long"
            yield invalid_value(field, value, detail)
        if "pattern" in source and not re.search(source["pattern"], value):
            yield invalid_value(field, value, f"{field} in body should match '{source['pattern']}'")


def _object(value: Mapping[str, Any], schema: TypeSchema, field: str) -> Iterator[Cause]:
    for name in schema.source.get("required", ()):
        if name not in value:
            yield required(f"{field}.{name}" if field else name)
    for name, item in value.items():
        yield from _value(item, schema.child(name), f"{field}.{name}" if field else name)


def _list(value: list[Any], schema: TypeSchema, field: str) -> Iterator[Cause]:
    limit = schema.source.get("maxItems")
    if limit is not None and len(value) > limit:
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {limit} items", field)
    if len(value) < schema.source.get("minItems", 0):
        detail = f"{field} in body should have at least {schema.source['minItems']} items"
        yield invalid_value(field, len(value), detail)
    for index, item in enumerate(value):
        yield from _value(item, schema.items, f"{field}[{index}]")
