"""Rules of ConfigMaps and Secrets (k8s.io/kubernetes `pkg/apis/core/validation`)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from .causes import Cause, forbidden, immutable, invalid_value, required, too_long
from .name_formats import config_key_errors

_LIMIT = 1024 * 1024
_REQUIRED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def config_map_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    text, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    causes = []
    for key in text:
        causes += [invalid_value(f"data[{key}]", key, one) for one in config_key_errors(key)]
        if key in binary:
            causes.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in binary:
        causes += [invalid_value(f"binaryData[{key}]", key, one) for one in config_key_errors(key)]
    size = sum(len(str(value).encode()) for value in text.values()) + _decoded_size(binary)
    if size > _LIMIT:
        causes.append(too_long("", _LIMIT))
    return causes + _immutability(obj, old, ("data", "binaryData"))


def secret_causes(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[Cause]:
    data = obj.get("data") or {}
    causes = []
    for key in data:
        causes += [invalid_value(f"data[{key}]", key, one) for one in config_key_errors(key)]
    if _decoded_size(data) > _LIMIT:
        causes.append(too_long("data", _LIMIT))
    causes += [
        required(f"data[{key}]") for key in _REQUIRED_KEYS.get(obj.get("type", ""), ()) if key not in data
    ]
    if old is not None and obj.get("type") != old.get("type"):
        causes.append(immutable("type", obj.get("type")))
    return causes + _immutability(obj, old, ("data",))


def _decoded_size(data: Mapping[str, Any]) -> int:
    return sum(len(base64.b64decode(str(value) + "==")) for value in data.values())


def _immutability(
    obj: Mapping[str, Any], old: Mapping[str, Any] | None, fields: tuple[str, ...]
) -> list[Cause]:
    if old is None or not old.get("immutable"):
        return []
    sentence = "field is immutable when `immutable` is set"
    causes = [forbidden(name, sentence) for name in fields if (obj.get(name) or {}) != (old.get(name) or {})]
    if not obj.get("immutable"):
        causes.insert(0, forbidden("immutable", sentence))
    return causes
