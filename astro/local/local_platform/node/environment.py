"""What a container gets to see of its pod: environment variables, command line, downward API."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import ROUND_CEILING
from typing import Any

from local_platform.cluster.controllers.resources import Object
from local_platform.node.quantities import parse_quantity

_EXPANSION = re.compile(r"\$(?:\$|\(([^()]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")

Lookup = Callable[[str, str], Awaitable[Object | None]]
"""Finds a "configmap" or "secret" of the pod's namespace by name."""


class ConfigError(Exception):
    """The container cannot be made as its pod describes it: CreateContainerConfigError."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; `$$` is a dollar sign and unknown names stay as they are."""

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return _EXPANSION.sub(replace, text)


def command_line(
    container: Object, entrypoint: tuple[str, ...], command: tuple[str, ...], variables: Mapping[str, str]
) -> list[str]:
    """The pod's `command` replaces the image's entrypoint and, without `args`, the image's command too."""
    own, arguments = container.get("command"), container.get("args")
    if own:
        parts = list(own) + list(arguments or [])
    else:
        parts = list(entrypoint) + list(arguments if arguments else command)
    if not parts:
        raise ConfigError("no command specified")
    return [expand(part, variables) for part in parts] if own or arguments else parts


async def environment(
    container: Object, pod: Object, lookup: Lookup, first: Mapping[str, str], allocatable: Mapping[str, str]
) -> dict[str, str]:
    """The container's variables: image and service variables first, then envFrom, then env in order.

    Raises:
        ConfigError: a config map, secret or key that is not optional is missing.
    """
    result = dict(first)
    for source in container.get("envFrom") or []:
        result |= await _from_source(source, pod, lookup)
    for entry in container.get("env") or []:
        if "valueFrom" not in entry:
            result[entry["name"]] = expand(entry.get("value", ""), result)
            continue
        value = await _value(entry["valueFrom"], container, pod, lookup, allocatable)
        if value is not None:
            result[entry["name"]] = value
    return result


async def _from_source(source: Object, pod: Object, lookup: Lookup) -> dict[str, str]:
    prefix = source.get("prefix", "")
    for key, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
        if reference := source.get(key):
            item = await lookup(kind, reference["name"])
            if item is None:
                if reference.get("optional"):
                    return {}
                raise ConfigError(f'{kind} "{reference["name"]}" not found')
            return {prefix + name: value.decode(errors="replace") for name, value in item_data(item).items()}
    return {}


async def _value(
    source: Object, container: Object, pod: Object, lookup: Lookup, allocatable: Mapping[str, str]
) -> str | None:
    if reference := source.get("fieldRef"):
        return field(pod, reference["fieldPath"])
    if reference := source.get("resourceFieldRef"):
        return resource_field(reference, container, pod, allocatable)
    for key, kind, words in (
        ("configMapKeyRef", "configmap", "ConfigMap"),
        ("secretKeyRef", "secret", "Secret"),
    ):
        if reference := source.get(key):
            item = await lookup(kind, reference["name"])
            if item is None:
                if reference.get("optional"):
                    return None
                raise ConfigError(f'{kind} "{reference["name"]}" not found')
            data = item_data(item)
            if reference["key"] not in data:
                if reference.get("optional"):
                    return None
                where = f"{pod['metadata']['namespace']}/{reference['name']}"
                raise ConfigError(f"couldn't find key {reference['key']} in {words} {where}")
            return data[reference["key"]].decode(errors="replace")
    raise ConfigError(f"valueFrom {sorted(source)} is not supported by the local node")


def item_data(item: Object) -> dict[str, bytes]:
    """The bytes of a ConfigMap or Secret by key."""
    if item["kind"] == "Secret":
        return {key: base64.b64decode(value) for key, value in (item.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (item.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (item.get("binaryData") or {}).items()}


def field(pod: Object, path: str) -> str:
    """A field of the downward API as text.

    Raises:
        ConfigError: a path that the downward API does not offer.
    """
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = metadata.get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted(entries.items()))
    simple: dict[str, Any] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": status.get("hostIP", ""),
        "status.hostIPs": status.get("hostIP", ""),
        "status.podIP": status.get("podIP", ""),
        "status.podIPs": status.get("podIP", ""),
    }
    if path not in simple:
        raise ConfigError(f"field label not supported: {path}")
    return str(simple[path])


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_field(reference: Object, container: Object, pod: Object, allocatable: Mapping[str, str]) -> str:
    """A container's request or limit, divided and rounded up; without a limit what the node can give."""
    name = reference.get("containerName")
    if name:
        every = (pod["spec"].get("initContainers") or []) + pod["spec"]["containers"]
        container = next((one for one in every if one["name"] == name), container)
    side, _, resource = reference["resource"].partition(".")
    amounts = (container.get("resources") or {}).get(side) or {}
    amount = amounts.get(resource, allocatable.get(resource, "0") if side == "limits" else "0")
    divisor = parse_quantity(reference.get("divisor", "1") or "1")
    quotient = parse_quantity(amount) / (divisor if divisor else 1)
    return str(int(quotient.to_integral_value(rounding=ROUND_CEILING)))
