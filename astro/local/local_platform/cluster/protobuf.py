"""Kubernetes' protobuf envelope (`k8s\\0` and runtime.Unknown) around the kinds that kubectl sends that way.

Only requests are read: every client that sends protobuf also accepts JSON. The fields stand in
`protobuf_fields.txt`; a field that is not listed there is refused, never dropped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from .errors import StatusError, bad_request

JSON = dict[str, Any]
MAGIC = b"k8s\x00"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Fields that are pointers in Go: written only when somebody set them, so that zero and false mean something.
_POINTERS = frozenset(
    {
        "activeDeadlineSeconds", "allowPrivilegeEscalation", "automountServiceAccountToken", "backoffLimit",
        "completions", "defaultMode", "enableServiceLinks", "expirationSeconds", "failedJobsHistoryLimit",
        "fsGroup", "gracePeriodSeconds", "immutable", "manualSelector", "minReplicas", "mode", "optional",
        "orphanDependents", "parallelism", "privileged", "progressDeadlineSeconds",
        "readOnlyRootFilesystem", "replicas", "revisionHistoryLimit", "runAsGroup", "runAsNonRoot",
        "runAsUser", "shareProcessNamespace",
        "startingDeadlineSeconds", "successfulJobsHistoryLimit", "suspend", "terminationGracePeriodSeconds",
        "tolerationSeconds", "ttlSecondsAfterFinished",
    }
)  # fmt: skip
_ALWAYS_SHOWN = frozenset({"value", "maxReplicas", "port", "containerPort"})


class _Field(NamedTuple):
    name: str
    type: str
    repeated: bool
    inline: bool


def decode(body: bytes) -> JSON:
    """The object in `body` with the field names of its JSON form. Raises 400 for what is no such object."""
    if not body.startswith(MAGIC):
        raise bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        envelope = dict(_fields(body[len(MAGIC) :]))
        type_meta = dict(_fields(envelope.get(1, b"")))
        api_version, kind = (type_meta.get(number, b"").decode() for number in (1, 2))
        if kind not in _messages():
            raise StatusError(415, "UnsupportedMediaType", f"protobuf is not read for {kind}: send JSON")
        return {"kind": kind, "apiVersion": api_version, **_message(kind, envelope.get(2, b""))}
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise bad_request(f"unable to decode the protobuf body: {error}") from error


@cache
def _messages() -> Mapping[str, Mapping[int, _Field]]:
    text = (resources.files(__package__) / "protobuf_fields.txt").read_text()
    messages: dict[str, Mapping[int, _Field]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        message, _, listed = line.partition(":")
        fields: dict[int, _Field] = {}
        for entry in filter(None, listed.strip().split("; ")):
            number, name, kind = entry.split()
            fields[int(number)] = _Field(name, kind.lstrip("*^"), kind.startswith("*"), kind.startswith("^"))
        messages[message] = fields
    return messages


def _message(name: str, raw: bytes) -> JSON:
    known = _messages()[name]
    decoded: JSON = {}
    for number, value in _fields(raw):
        field = known.get(number)
        if field is None:
            raise ValueError(f"field {number} of {name} is not known to this server; send JSON")
        if field.type == "-":
            continue
        if field.inline:
            decoded.update(_message(field.type, value))
        elif field.type.startswith("%"):
            key, item = _map_entry(field.type[1:], value)
            decoded.setdefault(field.name, {})[key] = item
        else:
            item = _value(field, value)
            if field.repeated:
                decoded.setdefault(field.name, []).append(item)
            elif not _is_default(field, item):
                decoded[field.name] = item
    return decoded


def _is_default(field: _Field, value: Any) -> bool:
    if value in ("", None):
        return True
    if value is False or (value == 0 and isinstance(value, int)):
        return field.name not in _POINTERS and field.name not in _ALWAYS_SHOWN
    return False


def _value(field: _Field, value: Any) -> Any:
    match field.type:
        case "s":
            return value.decode()
        case "i":
            return value - (1 << 64) if value >= 1 << 63 else value
        case "b":
            return bool(value)
        case "B":
            return base64.b64encode(value).decode()
        case "t":
            return _time(value)
        case "q":
            return dict(_fields(value)).get(1, b"").decode()
        case "x":
            return _int_or_string(value)
    return _message(field.type, value)


def _map_entry(kind: str, raw: bytes) -> tuple[str, Any]:
    entry = dict(_fields(raw))
    field = _Field("", kind, repeated=False, inline=False)
    return entry.get(1, b"").decode(), _value(field, entry.get(2, b""))


def _time(raw: bytes) -> str | None:
    seconds = dict(_fields(raw)).get(1, 0)
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _int_or_string(raw: bytes) -> int | str:
    parts = dict(_fields(raw))
    if parts.get(1, 0) == 1:
        text: str = parts.get(3, b"").decode()
        return text
    number: int = parts.get(2, 0)
    return number - (1 << 64) if number >= 1 << 63 else number


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and raw values of a message: an integer for varints, bytes for everything with a length."""
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(raw, position)
            yield number, value
        elif wire == _BYTES:
            length, position = _varint(raw, position)
            if position + length > len(raw):
                raise ValueError("a field is longer than its message")
            yield number, raw[position : position + length]
            position += length
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
            yield number, raw[position : position + length]
            position += length
        else:
            raise ValueError(f"wire type {wire} is not used by Kubernetes")


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
