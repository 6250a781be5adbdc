"""What editors and people read about the catalog, made from its models: JSON Schema and reference page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from .fields import Model
from .models import Catalog
from .policy_models import GatePolicy

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = Mapping[str, Any]


@cache
def json_schema(model: type[Model] = Catalog) -> Schema:
    """JSON Schema of a file of the model."""
    return {"$schema": DIALECT, **model.model_json_schema(mode="validation")}


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def keys_at(loc: Sequence[str | int], model: type[Model] = Catalog) -> tuple[str, ...]:
    """The valid keys at a pydantic location (which names the tag of a union as one step)."""
    root = json_schema(model)
    node = _resolved(root, root)
    for key in loc:
        node = _step(node, key, root)
    return tuple(node.get("properties", {}))


def reference() -> str:
    """The reference page, one section a model, in the order in which a reader meets them."""
    head = (
        "# Catalog reference\n\n"
        "Written from the models by `ops catalog reference`. Durations are ISO 8601 with a unit\n"
        "(`PT30S`, `PT5M`, `P1D`). A key that is not listed is an error.\n"
    )
    policy = "\nThe gate policy is a file of its own, `include/config/gate-policy.yaml`:\n"
    return head + _sections("Catalog", Catalog) + policy + _sections("GatePolicy", GatePolicy)


def _sections(name: str, model: type[Model]) -> str:
    return "".join(f"\n{_section(*found)}" for found in _reachable(name, json_schema(model)))


def _resolved(node: Schema, root: Schema) -> Schema:
    if "$ref" in node:
        defined: Schema = root["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return defined
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    return _resolved(options[0], root) if len(options) == 1 else node


def _step(node: Schema, key: str | int, root: Schema) -> Schema:
    tags: Mapping[str, str] = node.get("discriminator", {}).get("mapping", {})
    if key in tags:
        return _resolved({"$ref": tags[str(key)]}, root)
    if isinstance(key, int):
        return _resolved(node.get("items", {}), root)
    inner = node.get("properties", {}).get(key) or node.get("additionalProperties") or {}
    return _resolved(inner, root) if isinstance(inner, Mapping) else {}


def _reachable(first: str, root: Schema) -> Iterator[tuple[str, Schema]]:
    waiting: list[tuple[str, Schema]] = [(first, root)]
    seen: set[str] = set()
    while waiting:
        name, node = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        yield name, node
        for prop in node.get("properties", {}).values():
            waiting += [(inner, root["$defs"][inner]) for inner in _references(prop)]


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if not isinstance(node, Mapping):
        return []
    found = [node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else []
    return found + [
        name
        for key, item in node.items()
        if key not in ("$ref", "default", "discriminator")
        for name in _references(item)
    ]


def _section(name: str, node: Schema) -> str:
    required = node.get("required", ())
    rows = [
        f"| `{key}` | {_type(prop)} | {_default(key, prop, required)} | {_meaning(prop)} |\n"
        for key, prop in node.get("properties", {}).items()
    ]
    head = f"## {name}\n\n{node.get('description', '')}\n\n"
    return head + "| Key | Type | Default | Meaning |\n|---|---|---|---|\n" + "".join(rows)


def _meaning(node: Schema) -> str:
    return _cell(node.get("description", ""))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _type(node: Schema) -> str:
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "enum" in node or "const" in node:
        return " \\| ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    if options := node.get("anyOf") or node.get("oneOf"):
        return " \\| ".join(_type(option) for option in options if option.get("type") != "null")
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}"
    if node.get("type") == "object" and isinstance(node.get("additionalProperties"), Mapping):
        return f"map to {_type(node['additionalProperties'])}"
    if node.get("format") in ("duration", "uri"):
        return str(node["format"])
    kind = node.get("type", "any")
    return " \\| ".join(kind) if isinstance(kind, list) else str(kind)


def _default(key: str, node: Schema, required: Sequence[str]) -> str:
    if key in required:
        return "required"
    value = node.get("default")
    if value in (None, {}, []):
        return ""
    return f"`{_cell(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))}`"
