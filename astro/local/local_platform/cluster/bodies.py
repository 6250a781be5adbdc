"""Request bodies in JSON, YAML and Kubernetes' protobuf envelope; and what strict decoding says of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from . import protobuf
from .errors import bad_request, unsupported_body

JSON = dict[str, Any]


class _Tracked(dict[str, Any]):
    """A decoded object that remembers which of its keys came twice."""

    repeated: tuple[str, ...] = ()


def _track(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    tracked = _Tracked(plain)
    seen: set[str] = set()
    tracked.repeated = tuple(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return tracked


def duplicate_fields(value: Any, path: str = "") -> list[str]:
    """`duplicate field "metadata.name"` for every key that came twice; empty for what JSON allows."""
    found: list[str] = []
    if isinstance(value, dict):
        if isinstance(value, _Tracked):
            found += [f'duplicate field "{path}{key}"' for key in value.repeated]
        for key, child in value.items():
            found += duplicate_fields(child, f"{path}{key}.")
    elif isinstance(value, list):
        stem = path.removesuffix(".")
        for index, child in enumerate(value):
            found += duplicate_fields(child, f"{stem}[{index}].")
    return found


_LITERALS = {"n": "null", "t": "true", "f": "false"}
_COMPLAINTS = {
    "Expecting property name": "looking for beginning of object key string",
    "Expecting ':'": "after object key",
    "Expecting ','": "after object key:value pair",
    "Extra data": "after top-level value",
}
_SHOWN_BYTES = 30


def go_syntax_error(text: str, error: json.JSONDecodeError) -> str:
    """The sentence that Go's decoder has for the same mistake."""
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
        return "unexpected end of JSON input"
    found = text[error.pos]
    literal = _LITERALS.get(found) if error.msg.startswith("Expecting value") else None
    if literal is not None:
        for wanted, got in zip(literal, text[error.pos :], strict=False):
            if wanted != got:
                where = f"in literal {literal} (expecting {_go_quoted(wanted)})"
                return f"invalid character {_go_quoted(got)} {where}"
        return "unexpected end of JSON input"
    known = (text for start, text in _COMPLAINTS.items() if error.msg.startswith(start))
    return f"invalid character {_go_quoted(found)} {next(known, 'looking for beginning of value')}"


def _go_quoted(letter: str) -> str:
    return "'\\''" if letter == "'" else f"'{letter}'"


def _summary(body: bytes) -> str:
    """The start of a body as errors quote it: text when it may be JSON, otherwise hexadecimal."""
    if not body:
        return "<empty>"
    start = body[:_SHOWN_BYTES]
    shown = start.decode("utf-8", "replace") if body.startswith(b"{") else start.hex()
    return shown + " ..." if len(body) > _SHOWN_BYTES else shown


def decode_object(body: bytes, content_type: str, kind: str) -> JSON:
    """The object in a request body; `kind` is what the path takes. Raises 400 or 415 as the server does."""
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/vnd.kubernetes.protobuf" or body.startswith(protobuf.MAGIC):
        return protobuf.decode(body)
    if media in ("application/yaml", "application/apply-patch+yaml"):
        return _yaml_object(body)
    if media not in ("", "application/json", "*/*"):
        raise unsupported_body()
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text, object_pairs_hook=_track)
    except json.JSONDecodeError as error:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            f"json parse error: {go_syntax_error(text, error)} ({_summary(body)})"
        ) from error
    return _checked(value)


def decode_patch(body: bytes) -> Any:
    """The value of a JSON-like patch body."""
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text, object_pairs_hook=_track)
    except json.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {go_syntax_error(text, error)}") from error


def decode_applied(body: bytes) -> JSON:
    """The object of a server-side apply, which is YAML or JSON."""
    return _yaml_object(body)


def _yaml_object(body: bytes) -> JSON:
    try:
        value = yaml.load(body, Loader=_Loader)
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from error
    return _checked(value)


def _checked(value: Any) -> JSON:
    if not isinstance(value, dict):
        found = {list: "array", str: "string", bool: "bool", type(None): "null"}.get(type(value), "number")
        raise bad_request(
            "couldn't get version/kind; json parse error: json: cannot unmarshal "
            f'{found} into Go value of type struct {{ APIVersion string "json:\\"apiVersion,omitempty\\""; '
            'Kind string "json:\\"kind,omitempty\\"" }'
        )
    return value


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as Kubernetes reads it: timestamps stay strings."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in _Loader.yaml_implicit_resolvers.items()
}
