"""What differs between two bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def differences(recorded: Any, actual: Any, path: str = "") -> list[str]:
    """`path: recorded … / double …` for each leaf that differs."""
    if isinstance(recorded, Mapping) and isinstance(actual, Mapping):
        found = []
        for key in recorded.keys() | actual.keys():
            inside = f"{path}.{key}" if path else str(key)
            if key not in actual:
                found.append(f"{inside}: missing in the double, recorded {_short(recorded[key])}")
            elif key not in recorded:
                found.append(f"{inside}: only in the double: {_short(actual[key])}")
            else:
                found += differences(recorded[key], actual[key], inside)
        return sorted(found)
    if isinstance(recorded, list) and isinstance(actual, list):
        if len(recorded) != len(actual):
            return [f"{path}: recorded {len(recorded)} items, double {len(actual)}: {_odd(recorded, actual)}"]
        found = []
        for index, (left, right) in enumerate(zip(recorded, actual, strict=True)):
            found += differences(left, right, f"{path}[{index}]")
        return found
    if recorded == actual and isinstance(recorded, bool) == isinstance(actual, bool):
        return []
    return [f"{path}: recorded {_short(recorded)}, double {_short(actual)}"]


def _odd(recorded: list[Any], actual: list[Any]) -> str:
    left = [json.dumps(one, sort_keys=True) for one in recorded]
    right = [json.dumps(one, sort_keys=True) for one in actual]
    gone = [_identity(one) for one, text in zip(recorded, left, strict=True) if text not in right]
    new = [_identity(one) for one, text in zip(actual, right, strict=True) if text not in left]
    return f"only recorded {gone[:4]}, only double {new[:4]}"


def _identity(item: Any) -> str:
    if isinstance(item, Mapping):
        metadata = item.get("metadata") or (item.get("object") or {}).get("metadata") or {}
        return str(metadata.get("name") or item.get("name") or item.get("type") or _short(item))
    return _short(item)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 160 else f"{text[:157]}..."
