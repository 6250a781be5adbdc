"""From what a client sent to what the server's Go types can hold.

Unknown fields fall away (and are named, for strict validation), nulls and empty values that Go omits fall
away, quantities take their canonical form, and a value of the wrong type is an error in Go's words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .quantity import QuantityError, canonical
from .schema import Schema, TypeSchema

_EMPTY_IS_SET = frozenset(
    {
        ("Volume", "emptyDir"),
        ("EndpointPort", "name"),
        ("Event", "reportingComponent"),
        ("Event", "reportingInstance"),
        ("HostPathVolumeSource", "type"),
        ("GRPCAction", "service"),
        ("NetworkPolicySpec", "podSelector"),
        # protobuf and JSON both keep a map or slice that is not nil in these, and clients rely on it
        ("NetworkPolicyPeer", "namespaceSelector"),
        ("NetworkPolicyPeer", "podSelector"),
    }
)

# Numbers and booleans that Go holds by value with omitempty: zero and false are not written. All other
# optional ones are pointers, where zero is a value (k8s.io/api types.go).
_ZERO_IS_UNSET: Mapping[str, frozenset[str]] = {
    "Container": frozenset({"stdin", "stdinOnce", "tty"}),
    "ContainerPort": frozenset({"hostPort"}),
    "ContainerStateTerminated": frozenset({"signal"}),
    "DaemonSetSpec": frozenset({"minReadySeconds"}),
    "DeploymentSpec": frozenset({"minReadySeconds", "paused"}),
    "DeploymentStatus": frozenset(
        {
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
        }
    ),
    "Event": frozenset({"count"}),
    "JobStatus": frozenset({"active", "succeeded", "failed"}),
    "ObjectMeta": frozenset({"generation"}),
    "PodCondition": frozenset({"observedGeneration"}),
    "PodSpec": frozenset({"hostNetwork", "hostPID", "hostIPC"}),
    "PodStatus": frozenset({"observedGeneration"}),
    "Probe": frozenset(
        {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"}
    ),
    "ReplicaSetSpec": frozenset({"minReadySeconds"}),
    "ReplicaSetStatus": frozenset(
        {"observedGeneration", "readyReplicas", "availableReplicas", "fullyLabeledReplicas"}
    ),
    "ServicePort": frozenset({"nodePort"}),
    "ServiceSpec": frozenset({"publishNotReadyAddresses", "healthCheckNodePort"}),
    "StatefulSetSpec": frozenset({"minReadySeconds"}),
    "VolumeMount": frozenset({"readOnly"}),
}


def decode(obj: Mapping[str, Any]) -> dict[str, Any]:
    """A new object with only what the type declares. A kind without a type comes back unchanged."""
    schema = Schema.for_object(obj)
    result = _decoded(obj, schema)
    assert isinstance(result, dict)
    return result


def _decoded(value: Any, schema: TypeSchema | None) -> Any:
    if schema is None or schema.form == "any":
        return value
    if isinstance(value, Mapping) and schema.form in ("object", "map"):
        return _decoded_object(value, schema)
    if isinstance(value, list) and schema.form == "list":
        return [_decoded(item, schema.items) for item in value]
    if schema.form == "quantity" and isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return canonical(value)
        except QuantityError:
            return value
    return value


def _decoded_object(value: Mapping[str, Any], schema: TypeSchema) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        child = schema.child(key)
        if child is None:
            if schema.preserves_unknown or (schema.form == "object" and not schema.fields):
                result[key] = item
            continue
        if item is None and not (child.custom and child.source.get("nullable")):
            if schema.form == "map" and child.form == "string" and not schema.custom:
                result[key] = ""
            continue
        decoded = _decoded(item, child)
        if not _left_out(decoded, key, child, schema):
            result[key] = decoded
    return result


def _left_out(value: Any, key: str, child: TypeSchema, parent: TypeSchema) -> bool:
    """Whether Go's encoder omits the value (omitempty of strings, maps and slices)."""
    if parent.custom or parent.form == "map" or key in parent.required:
        return False
    if value in (0, False) and key in _ZERO_IS_UNSET.get(parent.short_name, ()):
        return True
    if value in ("", [], {}) and (parent.short_name, key) in _EMPTY_IS_SET:
        return False
    if value == {}:
        return child.form == "map"
    return value == [] or (value == "" and child.form == "string")


def decode_error(obj: Mapping[str, Any]) -> str | None:
    """The decoder's complaint about the first value of a wrong type; None when there is none.

    Custom kinds have none: their types are a matter of validation (422).
    """
    schema = Schema.for_object(obj)
    if schema is None:
        return None
    if schema.custom:
        metadata = obj.get("metadata", {})
        return next(_type_errors(metadata, schema.fields["metadata"], "metadata", None), None)
    return next(_type_errors(obj, schema, "", None), None)


def _type_errors(value: Any, schema: TypeSchema, path: str, owner: TypeSchema | None) -> Iterator[str]:
    if value is None or schema.form == "any":
        return
    if not _fits(value, schema):
        yield _mismatch(value, schema, path, owner)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            child = schema.child(key)
            if child is not None:
                inside = f"{path}.{key}" if path else key
                if schema.form == "map":
                    yield from _type_errors(item, child, path, owner)
                else:
                    yield from _type_errors(item, child, inside, schema)
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            yield from _type_errors(item, schema.items, path, owner)


def _fits(value: Any, schema: TypeSchema) -> bool:
    match schema.form:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "list":
            return isinstance(value, list)
        case "object" | "map":
            return isinstance(value, Mapping)
        case "int-or-string":
            return isinstance(value, str | int) and not isinstance(value, bool)
        case "quantity":
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                return False
            try:
                canonical(value)
            except QuantityError:
                return False
    return True


def _mismatch(value: Any, schema: TypeSchema, path: str, owner: TypeSchema | None) -> str:
    if schema.form == "quantity":
        return "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    kind = {bool: "bool", str: "string", list: "array", dict: "object"}.get(type(value), "number")
    if kind == "number" and isinstance(value, float):
        kind = f"number {json.dumps(value)}"
    if schema.form == "int-or-string":
        return f"json: cannot unmarshal {kind} into Go value of type string"
    where = f"Go struct field {owner.short_name}.{path}" if owner else "Go value"
    return f"json: cannot unmarshal {kind} into {where} of type {schema.go_type}"


def strict_errors(obj: Mapping[str, Any]) -> list[str]:
    """`unknown field "spec.replicaz"` for each undeclared field, in the object's order."""
    schema = Schema.for_object(obj)
    return list(_unknown(obj, schema, "")) if schema else []


def _unknown(value: Any, schema: TypeSchema | None, path: str) -> Iterator[str]:
    if schema is None or schema.form == "any":
        return
    if isinstance(value, Mapping) and schema.form in ("object", "map"):
        for key, item in value.items():
            child = schema.child(key)
            inside = f"{path}.{key}" if path else str(key)
            if child is not None:
                yield from _unknown(item, child, inside)
            elif not schema.preserves_unknown and schema.fields:
                yield f'unknown field "{inside}"'
    elif isinstance(value, list) and schema.form == "list":
        for index, item in enumerate(value):
            yield from _unknown(item, schema.items, f"{path}[{index}]")


def go_text(value: Any) -> str:
    """A decoded JSON value as Go's `%v` prints it: `map[spec:map[replicas:3]]`."""
    match value:
        case Mapping():
            return "map[" + " ".join(f"{key}:{go_text(item)}" for key, item in sorted(value.items())) + "]"
        case list():
            return "[" + " ".join(go_text(item) for item in value) + "]"
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
    return str(value)
