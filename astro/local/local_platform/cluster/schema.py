"""The types of the API: what each field is, how its lists merge, which fields a Go server always writes.

Built-in kinds come from the OpenAPI definitions that the package kubernetes-validate carries (v1.36);
custom kinds from their CustomResourceDefinition. A type is resolved when it is first looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import resources
from typing import Any, ClassVar, Literal, TypeAlias

RELEASE = "v1.36.0-local"

GroupVersionKind: TypeAlias = tuple[str, str, str]
Json: TypeAlias = Any
Form: TypeAlias = Literal[
    "object", "map", "list", "string", "integer", "number", "boolean", "int-or-string", "quantity", "any"
]

# Go structs that hold another struct by value (not by pointer): encoding/json never leaves those out, so
# the server shows `resources: {}` and its managed fields do not list the parent as added.
# From k8s.io/api/*/types.go; `metadata`, `spec` and `status` of top-level kinds are by value as well.
_BY_VALUE: Mapping[str, tuple[str, ...]] = {
    "Container": ("resources",),
    "ContainerStatus": ("state", "lastState"),
    "CronJobSpec": ("jobTemplate",),
    "DaemonSetSpec": ("template", "updateStrategy"),
    "DeploymentSpec": ("template", "strategy"),
    "Endpoint": ("conditions",),
    "EphemeralContainer": ("resources",),
    "Event": ("involvedObject", "source", "metadata"),
    "HorizontalPodAutoscalerSpec": ("scaleTargetRef",),
    "IngressStatus": ("loadBalancer",),
    "JobSpec": ("template",),
    "JobTemplateSpec": ("metadata", "spec"),
    "NetworkPolicySpec": ("podSelector",),
    "NodeStatus": ("daemonEndpoints", "nodeInfo"),
    "NodeDaemonEndpoints": ("kubeletEndpoint",),
    "PersistentVolumeClaimSpec": ("resources",),
    "PodTemplateSpec": ("metadata", "spec"),
    "PodTemplate": ("metadata", "template"),
    "ReplicaSetSpec": ("template",),
    "ReplicationControllerSpec": (),
    "ServiceStatus": ("loadBalancer",),
    "StatefulSetSpec": ("template", "updateStrategy"),
    "SubjectAccessReview": ("metadata", "spec", "status"),
    "RoleBinding": ("metadata", "roleRef"),
    "ClusterRoleBinding": ("metadata", "roleRef"),
}
_TOP_LEVEL_BY_VALUE = ("metadata", "spec", "status")

# Times that Go writes as null when they are unset (no omitempty in types.go).
_NULL_TIMES: Mapping[str, tuple[str, ...]] = {
    "PodCondition": ("lastProbeTime", "lastTransitionTime"),
    "Event": ("eventTime", "firstTimestamp", "lastTimestamp"),
    "ContainerStateTerminated": ("startedAt", "finishedAt"),
}

_SPECIAL_FORMS: Mapping[str, Form] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "any",
}
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@cache
def _definitions() -> dict[str, Any]:
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / RELEASE
    document = json.loads((folder / "_definitions.json").read_bytes())
    definitions: dict[str, Any] = document.get("$defs") or document["definitions"]
    return definitions


class TypeSchema:
    """One type. `name` is its definition's full name, empty for nameless types and for custom kinds."""

    def __init__(self, source: Mapping[str, Any], *, name: str = "", custom: bool = False) -> None:
        self.source = source
        self.name = name
        self.custom = custom

    def __repr__(self) -> str:
        return f"TypeSchema({self.name or self.form})"

    @cached_property
    def form(self) -> Form:
        if self.name in _SPECIAL_FORMS:
            return _SPECIAL_FORMS[self.name]
        source = self.source
        if source.get("x-kubernetes-int-or-string") or source.get("format") == "int-or-string":
            return "int-or-string"
        match _plain_type(source):
            case "array":
                return "list"
            case "object":
                return self._object_form()
            case "string" | "integer" | "number" | "boolean" as scalar:
                return scalar
        return "object" if "properties" in source else "any"

    def _object_form(self) -> Form:
        if "properties" in self.source:
            return "object"
        values = self.source.get("additionalProperties")
        if isinstance(values, Mapping):
            return "map"
        if self.name and not self.custom:
            return "object"
        return "any" if self.preserves_unknown or values is True or not self.custom else "object"

    @cached_property
    def short_name(self) -> str:
        return self.name.rsplit(".", 1)[-1]

    @cached_property
    def go_type(self) -> str:
        """The Go type as the decoder's error messages name it."""
        match self.form:
            case "integer":
                return str(self.source.get("format", "int64"))
            case "number":
                return "float64"
            case "boolean":
                return "bool"
            case "string":
                return "string"
            case "list":
                return f"[]{self.items.go_type}" if self.items else "[]interface {}"
            case "map":
                return f"map[string]{self.values.go_type}" if self.values else "map[string]interface {}"
            case "object":
                package, _, kind = self.name.rpartition(".")
                return f"{package.rpartition('.')[2]}.{kind}" if package else "map[string]interface {}"
        return "interface {}"

    @cached_property
    def fields(self) -> Mapping[str, TypeSchema]:
        properties = self.source.get("properties", {})
        return {name: _resolve(child, custom=self.custom) for name, child in properties.items()}

    @cached_property
    def items(self) -> TypeSchema | None:
        child = self.source.get("items")
        return _resolve(child, custom=self.custom) if isinstance(child, Mapping) else None

    @cached_property
    def values(self) -> TypeSchema | None:
        child = self.source.get("additionalProperties")
        return _resolve(child, custom=self.custom) if isinstance(child, Mapping) else None

    def child(self, key: str) -> TypeSchema | None:
        """The type of the field or of the map's value under `key`; None when the type does not declare it."""
        return self.fields.get(key) or self.values

    @cached_property
    def required(self) -> frozenset[str]:
        return frozenset(self.source.get("required", ()))

    @cached_property
    def preserves_unknown(self) -> bool:
        return bool(self.source.get("x-kubernetes-preserve-unknown-fields"))

    @cached_property
    def list_type(self) -> str:
        """`atomic`, `set` or `map`: how server-side apply sees the list."""
        return str(self.source.get("x-kubernetes-list-type", "atomic"))

    @cached_property
    def list_keys(self) -> tuple[str, ...]:
        return tuple(self.source.get("x-kubernetes-list-map-keys", ()))

    @cached_property
    def merge_key(self) -> str | None:
        """The key by which a strategic merge patch finds list items."""
        key: str | None = self.source.get("x-kubernetes-patch-merge-key")
        return key

    @cached_property
    def patch_strategies(self) -> frozenset[str]:
        return frozenset(filter(None, self.source.get("x-kubernetes-patch-strategy", "").split(",")))

    @cached_property
    def atomic(self) -> bool:
        """Whether server-side apply owns the value as a whole."""
        match self.form:
            case "list":
                return self.list_type == "atomic"
            case "object" | "map":
                return bool(self.source.get("x-kubernetes-map-type") == "atomic")
            case "any":
                return not self.custom
        return True

    @cached_property
    def always_written(self) -> frozenset[str]:
        """Fields that exist in the server's Go value even when nobody set them."""
        if self.custom or self.form != "object":
            return frozenset()
        names = set(_BY_VALUE.get(self.short_name, ()))
        if "x-kubernetes-group-version-kind" in self.source and "metadata" in self.fields:
            names.update(name for name in _TOP_LEVEL_BY_VALUE if name in self.fields)
        names.update(name for name in self.required if name in self.fields)
        return frozenset(names)

    @cached_property
    def by_value_structs(self) -> tuple[str, ...]:
        """Those of `always_written` that are structs: shown as `{}` when empty."""
        return tuple(
            name
            for name in self.fields
            if name in self.always_written
            and (name in _BY_VALUE.get(self.short_name, ()) or name in _TOP_LEVEL_BY_VALUE)
        )

    @cached_property
    def null_times(self) -> tuple[str, ...]:
        """Times that are written as null when nobody set them."""
        return () if self.custom else _NULL_TIMES.get(self.short_name, ())

    @cached_property
    def declared_default(self) -> Json:
        """The `default` of a custom kind's schema; None when there is none."""
        return self.source.get("default")

    def walk_defaults(self) -> Iterator[tuple[str, TypeSchema]]:
        for name, child in self.fields.items():
            if "default" in child.source:
                yield name, child


def _plain_type(source: Mapping[str, Any]) -> str | None:
    declared = source.get("type")
    if isinstance(declared, list):
        return next((one for one in declared if one != "null"), None)
    return declared


@cache
def _named(name: str) -> TypeSchema:
    return TypeSchema(_definitions()[name], name=name)


def _resolve(source: Mapping[str, Any], *, custom: bool) -> TypeSchema:
    reference = source.get("$ref")
    if not isinstance(reference, str):
        return TypeSchema(source, custom=custom)
    target = _named(reference.rsplit("/", 1)[-1])
    extensions = {key: value for key, value in source.items() if key.startswith("x-kubernetes-")}
    if not extensions:
        return target
    return TypeSchema({**target.source, **extensions}, name=target.name)


@cache
def _built_in_names() -> Mapping[GroupVersionKind, str]:
    names: dict[GroupVersionKind, str] = {}
    for name, definition in _definitions().items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            names.setdefault((kind["group"], kind["version"], kind["kind"]), name)
    return names


class Schema:
    """The kinds the server knows: the built-in ones, and those that CustomResourceDefinitions add."""

    _custom: ClassVar[dict[GroupVersionKind, TypeSchema]] = {}

    @classmethod
    def for_kind(cls, kind: GroupVersionKind) -> TypeSchema | None:
        """The type of (group, version, kind); None when nobody declared it."""
        if found := cls._custom.get(kind):
            return found
        name = _built_in_names().get(kind)
        return _named(name) if name else None

    @classmethod
    def for_object(cls, obj: Mapping[str, Any]) -> TypeSchema | None:
        return cls.for_kind(kind_of(obj))

    @classmethod
    def add_custom(cls, definition: Mapping[str, Any]) -> None:
        """Takes the versions of a CustomResourceDefinition into the table."""
        spec = definition["spec"]
        for version in spec["versions"]:
            if not version.get("served", True):
                continue
            source = version.get("schema", {}).get("openAPIV3Schema", {"type": "object"})
            kind = (spec["group"], version["name"], spec["names"]["kind"])
            cls._custom[kind] = _custom_root(source)

    @classmethod
    def remove_custom(cls, definition: Mapping[str, Any]) -> None:
        spec = definition["spec"]
        for version in spec["versions"]:
            cls._custom.pop((spec["group"], version["name"], spec["names"]["kind"]), None)


def _custom_root(source: Mapping[str, Any]) -> TypeSchema:
    """A custom kind's schema with the server's own metadata in place of the declared one."""
    root = TypeSchema(source, custom=True)
    properties = dict(source.get("properties", {}))
    for name in ("apiVersion", "kind"):
        properties.setdefault(name, {"type": "string"})
    properties["metadata"] = {"type": "object"}
    root.source = {**source, "type": "object", "properties": properties}
    root.__dict__["fields"] = {
        name: _named(_OBJECT_META) if name == "metadata" else _resolve(child, custom=True)
        for name, child in properties.items()
    }
    return root


def kind_of(obj: Mapping[str, Any]) -> GroupVersionKind:
    """(group, version, kind) from an object's apiVersion and kind."""
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    return group, version, str(obj.get("kind", ""))
