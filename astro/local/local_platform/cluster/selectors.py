"""Label and field selectors as query parameters spell them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import bad_request

JSON = dict[str, Any]
Predicate = Callable[[JSON], bool]

_TOKEN = re.compile(r"\s*(==|=|!=|!|,|\(|\)|>|<|[^\s=!,()<>]+)")

# Fields that a kind can be selected by, beside metadata.name and metadata.namespace (registry strategies of
# 1.36).
FIELDS: Mapping[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "Event": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "Secret": ("type",),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "Job": ("status.successful",),
    "ReplicaSet": ("status.replicas",),
    "ReplicationController": ("status.replicas",),
    "Service": ("spec.clusterIP", "spec.type"),
    "CertificateSigningRequest": ("spec.signerName",),
}

# Kinds whose registries name the refused field in their own words instead of listing what they know.
_TERSE = frozenset({"Pod", "Event", "Secret", "Namespace", "Node", "Job", "ReplicaSet", "Service"})


def everything(_: JSON) -> bool:
    return True


def label_selector(text: str) -> Predicate:
    """A predicate over objects; raises 400 with the server's words when the text does not parse."""
    if not text.strip():
        return everything
    requirements = _Parser(text).parse()

    def matches(document: JSON) -> bool:
        labels = document["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return matches


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._position = 0

    def parse(self) -> list[Callable[[Mapping[str, str]], bool]]:
        requirements = [self._requirement()]
        while self._peek() == ",":
            self._next()
            requirements.append(self._requirement())
        if self._peek():
            raise _unexpected(self._peek(), "',' or 'end of string'")
        return requirements

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token

    def _identifier(self) -> str:
        token = self._next()
        if not token or not re.match(r"[A-Za-z0-9]", token):
            raise _unexpected(token, "identifier")
        return token

    def _requirement(self) -> Callable[[Mapping[str, str]], bool]:
        if self._peek() == "!":
            self._next()
            absent = self._identifier()
            return lambda labels: absent not in labels
        key = self._identifier()
        operator = self._peek()
        if operator in ("", ","):
            return lambda labels: key in labels
        self._next()
        if operator in ("=", "=="):
            value = self._value()
            return lambda labels: labels.get(key) == value
        if operator == "!=":
            value = self._value()
            return lambda labels: labels.get(key) != value
        if operator == "in":
            values = self._values()
            return lambda labels: key in labels and labels[key] in values
        if operator == "notin":
            values = self._values()
            return lambda labels: key not in labels or labels[key] not in values
        if operator in (">", "<"):
            bound, greater = int(self._identifier()), operator == ">"
            return lambda labels: _compares(labels.get(key), bound, greater)
        raise _unexpected(operator, "in, notin, =, ==, !=, gt, lt")

    def _value(self) -> str:
        return "" if self._peek() in ("", ",") else self._identifier()

    def _values(self) -> frozenset[str]:
        if self._next() != "(":
            raise _unexpected(self._peek(), "'('")
        values: list[str] = []
        while True:
            values.append("" if self._peek() in (",", ")") else self._identifier())
            closing = self._next()
            if closing == ")":
                return frozenset(values)
            if closing != ",":
                raise _unexpected(closing, "',' or ')'")


def _compares(value: str | None, bound: int, greater: bool) -> bool:
    if value is None or not re.fullmatch(r"-?\d+", value):
        return False
    return int(value) > bound if greater else int(value) < bound


def _unexpected(token: str, expected: str) -> Exception:
    return bad_request(f"unable to parse requirement: found '{token}', expected: {expected}")


def field_selector(text: str, kind: str, custom_fields: tuple[str, ...] = ()) -> Predicate:
    """A predicate for `a.b=x,c!=y`; raises 400 for a field that this kind cannot be selected by."""
    if not text.strip():
        return everything
    requirements = [_field_requirement(part, kind, custom_fields) for part in text.split(",") if part]

    def matches(document: JSON) -> bool:
        return all(requirement(document) for requirement in requirements)

    return matches


def exact_name(text: str) -> str | None:
    """The name that a field selector pins down, if it does."""
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if separator and key == "metadata.name":
            return value.lstrip("=")
    return None


def _field_requirement(part: str, kind: str, custom_fields: tuple[str, ...]) -> Predicate:
    match = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", part)
    if match is None:
        raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
    path, operator, wanted = match[1], match[2], match[3]
    allowed = ("metadata.name", "metadata.namespace", *FIELDS.get(kind, ()), *custom_fields)
    if path not in allowed:
        if kind in _TERSE:
            raise bad_request(f"field label not supported: {path}")
        known = ", ".join(f'"{name}"' for name in allowed)
        raise bad_request(f'"{path}" is not a known field selector: only {known}')
    equal = operator != "!="
    return lambda document: (_field(document, path) == wanted) is equal


def _field(document: JSON, path: str) -> str:
    value: Any = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):  # Event.source selects by its component
        value = value.get("component")
    if value is None:
        return {"spec.unschedulable": "false", "spec.hostNetwork": "false"}.get(path, "")
    return str(value)
