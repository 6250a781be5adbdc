"""Kubernetes' protobuf envelope (`k8s\\0` and runtime.Unknown) around the kinds that kubectl sends that way."""

from __future__ import annotations

from typing import Any

from .errors import unsupported_body

JSON = dict[str, Any]
MAGIC = b"k8s\x00"


def decode(body: bytes) -> JSON:
    """The object in `body` with the field names of its JSON form."""
    raise unsupported_body()
