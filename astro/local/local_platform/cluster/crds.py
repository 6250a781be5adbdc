"""The Gateway API kinds that the double installs at its first start: GatewayClass, Gateway, HTTPRoute v1.

Written from the Gateway API specification (v1.0 standard channel) in a notation of our own: fields, bounds
and defaults that clients can observe. The rules that the project states in CEL are not evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GROUP = "gateway.networking.k8s.io"
_VERSION = "v1.0.0"

_HOSTNAME = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_GROUP_NAME = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_KIND_NAME = "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
_NAMESPACE_NAME = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SECTION_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"
_CONTROLLER_NAME = (
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
)
_DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"

Schema = dict[str, Any]


def _text(
    *, low: int | None = None, high: int | None = None, pattern: str | None = None, **more: Any
) -> Schema:
    bounds = {"minLength": low, "maxLength": high, "pattern": pattern}
    return {"type": "string", **{key: value for key, value in bounds.items() if value is not None}, **more}


def _whole(low: int, high: int, **more: Any) -> Schema:
    return {"type": "integer", "format": "int32", "minimum": low, "maximum": high, **more}


def _one_of(*values: str, **more: Any) -> Schema:
    return {"type": "string", "enum": list(values), **more}


def _fields(fields: Mapping[str, Schema], required: tuple[str, ...] = (), **more: Any) -> Schema:
    schema: Schema = {"type": "object", "properties": dict(fields), **more}
    return {**schema, "required": list(required)} if required else schema


def _items(item: Schema, *, high: int, low: int = 0, keys: tuple[str, ...] = (), **more: Any) -> Schema:
    schema: Schema = {"type": "array", "items": item, "maxItems": high, **more}
    if low:
        schema["minItems"] = low
    if keys:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
    return schema


def _map(value: Schema, high: int) -> Schema:
    return {"type": "object", "additionalProperties": value, "maxProperties": high}


_PORT = _whole(1, 65535)
_OBJECT_NAME = _text(low=1, high=253)
_NAMESPACE = _text(low=1, high=63, pattern=_NAMESPACE_NAME)
_SECTION = _text(low=1, high=253, pattern=_SECTION_NAME)
_HEADER = _text(low=1, high=256, pattern=_HEADER_NAME)


def _reference(kind: str, group: str, extra: Mapping[str, Schema]) -> dict[str, Schema]:
    return {
        "group": _text(high=253, pattern=_GROUP_NAME, default=group),
        "kind": _text(low=1, high=63, pattern=_KIND_NAME, default=kind),
        "name": _OBJECT_NAME,
        "namespace": _NAMESPACE,
        **extra,
    }


_PARENT = _fields(_reference("Gateway", GROUP, {"sectionName": _SECTION, "port": _PORT}), ("name",))
_BACKEND = _reference("Service", "", {"port": _PORT})
_CONDITION = _fields(
    {
        "type": _text(high=316),
        "status": _one_of("True", "False", "Unknown"),
        "reason": _text(low=1, high=1024),
        "message": _text(high=32768),
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "lastTransitionTime": _text(format="date-time"),
    },
    ("lastTransitionTime", "message", "reason", "status", "type"),
)


def _conditions(**more: Any) -> Schema:
    return _items(_CONDITION, high=8, keys=("type",), **more)


_HEADER_VALUES = _items(
    _fields({"name": _HEADER, "value": _text(low=1, high=4096)}, ("name", "value")), high=16, keys=("name",)
)
_HEADER_CHANGES = _fields(
    {
        "set": _HEADER_VALUES,
        "add": _HEADER_VALUES,
        "remove": {**_items({"type": "string"}, high=16), "x-kubernetes-list-type": "set"},
    }
)
_PATH_CHANGE = _fields(
    {
        "type": _one_of("ReplaceFullPath", "ReplacePrefixMatch"),
        "replaceFullPath": _text(high=1024),
        "replacePrefixMatch": _text(high=1024),
    },
    ("type",),
)
_FILTER = _fields(
    {
        "type": _one_of(
            "RequestHeaderModifier",
            "ResponseHeaderModifier",
            "RequestMirror",
            "RequestRedirect",
            "URLRewrite",
            "ExtensionRef",
        ),
        "requestHeaderModifier": _HEADER_CHANGES,
        "responseHeaderModifier": _HEADER_CHANGES,
        "requestMirror": _fields({"backendRef": _fields(_BACKEND, ("name",))}, ("backendRef",)),
        "requestRedirect": _fields(
            {
                "scheme": _one_of("http", "https"),
                "hostname": _text(low=1, high=253, pattern=_HOSTNAME),
                "path": _PATH_CHANGE,
                "port": _PORT,
                "statusCode": {"type": "integer", "enum": [301, 302], "default": 302},
            }
        ),
        "urlRewrite": _fields({"hostname": _text(low=1, high=253, pattern=_HOSTNAME), "path": _PATH_CHANGE}),
        "extensionRef": _fields(
            {
                "group": _text(high=253, pattern=_GROUP_NAME),
                "kind": _text(low=1, high=63, pattern=_KIND_NAME),
                "name": _OBJECT_NAME,
            },
            ("group", "kind", "name"),
        ),
    },
    ("type",),
)
_FILTERS = _items(_FILTER, high=16)
_WEIGHT = _whole(0, 1_000_000, default=1)
_MATCH_TYPE = _one_of("Exact", "RegularExpression", default="Exact")


def _named_match(high: int) -> Schema:
    fields = {"type": _MATCH_TYPE, "name": _HEADER, "value": _text(low=1, high=high)}
    return _items(_fields(fields, ("name", "value")), high=16, keys=("name",))


_MATCH = _fields(
    {
        "path": _fields(
            {
                "type": _one_of("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
                "value": _text(high=1024, default="/"),
            },
            default={"type": "PathPrefix", "value": "/"},
        ),
        "headers": _named_match(4096),
        "queryParams": _named_match(1024),
        "method": _one_of("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"),
    }
)
_RULE = _fields(
    {
        "matches": _items(_MATCH, high=8, default=[{"path": {"type": "PathPrefix", "value": "/"}}]),
        "filters": _FILTERS,
        "backendRefs": _items(
            _fields({**_BACKEND, "weight": _WEIGHT, "filters": _FILTERS}, ("name",)), high=16
        ),
        "timeouts": _fields(
            {"request": _text(pattern=_DURATION), "backendRequest": _text(pattern=_DURATION)}
        ),
    }
)
_ROUTE = _fields(
    {
        "parentRefs": _items(_PARENT, high=32),
        "hostnames": _items(_text(low=1, high=253, pattern=_HOSTNAME), high=16),
        "rules": _items(
            _RULE, high=16, default=[{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]
        ),
    }
)
_ROUTE_STATUS = _fields(
    {
        "parents": _items(
            _fields(
                {
                    "parentRef": _PARENT,
                    "controllerName": _text(low=1, high=253, pattern=_CONTROLLER_NAME),
                    "conditions": _conditions(minItems=1),
                },
                ("controllerName", "parentRef"),
            ),
            high=32,
        )
    },
    ("parents",),
)

_LABEL_SELECTOR: Schema = {
    **_fields(
        {
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
            "matchExpressions": {
                "type": "array",
                "items": _fields(
                    {
                        "key": {"type": "string"},
                        "operator": {"type": "string"},
                        "values": {"type": "array", "items": {"type": "string"}},
                    },
                    ("key", "operator"),
                ),
            },
        }
    ),
    "x-kubernetes-map-type": "atomic",
}
_ROUTE_KIND = _fields(
    {
        "group": _text(high=253, pattern=_GROUP_NAME, default=GROUP),
        "kind": _text(low=1, high=63, pattern=_KIND_NAME),
    },
    ("kind",),
)
_LISTENER = _fields(
    {
        "name": _SECTION,
        "hostname": _text(low=1, high=253, pattern=_HOSTNAME),
        "port": _PORT,
        "protocol": _text(low=1, high=255),
        "tls": _fields(
            {
                "mode": _one_of("Terminate", "Passthrough", default="Terminate"),
                "certificateRefs": _items(_fields(_reference("Secret", "", {}), ("name",)), high=64),
                "options": _map(_text(high=4096), 16),
            }
        ),
        "allowedRoutes": _fields(
            {
                "namespaces": _fields(
                    {"from": _one_of("All", "Selector", "Same", default="Same"), "selector": _LABEL_SELECTOR},
                    default={"from": "Same"},
                ),
                "kinds": _items(_ROUTE_KIND, high=8),
            },
            default={"namespaces": {"from": "Same"}},
        ),
    },
    ("name", "port", "protocol"),
)


def _address(**more: Any) -> Schema:
    fields = {"type": _text(low=1, high=253, default="IPAddress"), "value": _text(low=1, high=253)}
    return _items(_fields(fields, ("value",)), high=16, **more)


_GATEWAY = _fields(
    {
        "gatewayClassName": _OBJECT_NAME,
        "listeners": _items(_LISTENER, low=1, high=64, keys=("name",)),
        "addresses": _address(),
    },
    ("gatewayClassName", "listeners"),
)


def _pending(*types: str) -> list[dict[str, str]]:
    return [
        {
            "type": one,
            "status": "Unknown",
            "reason": "Pending",
            "message": "Waiting for controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
        for one in types
    ]


_GATEWAY_STATUS = _fields(
    {
        "addresses": _address(),
        "conditions": _conditions(default=_pending("Accepted", "Programmed")),
        "listeners": _items(
            _fields(
                {
                    "name": _SECTION,
                    "supportedKinds": _items(_ROUTE_KIND, high=8),
                    "attachedRoutes": {"type": "integer", "format": "int32"},
                    "conditions": _conditions(),
                },
                ("attachedRoutes", "conditions", "name", "supportedKinds"),
            ),
            high=64,
            keys=("name",),
        ),
    }
)
_CLASS = _fields(
    {
        "controllerName": _text(low=1, high=253, pattern=_CONTROLLER_NAME),
        "parametersRef": _fields(
            {
                "group": _text(high=253, pattern=_GROUP_NAME),
                "kind": _text(low=1, high=63, pattern=_KIND_NAME),
                "name": _OBJECT_NAME,
                "namespace": _NAMESPACE,
            },
            ("group", "kind", "name"),
        ),
        "description": _text(high=64),
    },
    ("controllerName",),
)


def _column(name: str, kind: str, path: str, priority: int = 0) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": priority} if priority else column


_AGE = _column("Age", "date", ".metadata.creationTimestamp")


def _definition(
    kind: str,
    plural: str,
    short: tuple[str, ...],
    spec: Schema,
    status: Schema,
    columns: list[dict[str, Any]],
    *,
    namespaced: bool = True,
) -> dict[str, Any]:
    singular = kind.lower()
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": singular}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "annotations": {"gateway.networking.k8s.io/bundle-version": _VERSION},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {
                **names,
                "categories": ["gateway-api"],
                **({"shortNames": list(short)} if short else {}),
            },
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": columns,
                    "schema": {
                        "openAPIV3Schema": _fields(_TOP | {"spec": spec, "status": status}, ("spec",))
                    },
                    "subresources": {"status": {}},
                }
            ],
        },
    }


_TOP: dict[str, Schema] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"type": "object"},
}

GATEWAY_API_CRDS: tuple[dict[str, Any], ...] = (
    _definition(
        "GatewayClass",
        "gatewayclasses",
        ("gc",),
        _CLASS,
        _fields({"conditions": _conditions()}, default={"conditions": _pending("Accepted")}),
        [
            _column("Controller", "string", ".spec.controllerName"),
            _column("Accepted", "string", '.status.conditions[?(@.type=="Accepted")].status'),
            _AGE,
            _column("Description", "string", ".spec.description", 1),
        ],
        namespaced=False,
    ),
    _definition(
        "Gateway",
        "gateways",
        ("gtw",),
        _GATEWAY,
        {**_GATEWAY_STATUS, "default": {"conditions": _pending("Accepted", "Programmed")}},
        [
            _column("Class", "string", ".spec.gatewayClassName"),
            _column("Address", "string", ".status.addresses[*].value"),
            _column("Programmed", "string", '.status.conditions[?(@.type=="Programmed")].status'),
            _AGE,
        ],
    ),
    _definition(
        "HTTPRoute",
        "httproutes",
        (),
        _ROUTE,
        _ROUTE_STATUS,
        [_column("Hostnames", "string", ".spec.hostnames"), _AGE],
    ),
)
