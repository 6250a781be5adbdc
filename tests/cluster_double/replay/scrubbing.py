"""Replaces what may differ by a name in angle brackets, and notes which normalisation did it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .background import BACKGROUND

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ZERO_UUID = "00000000-0000-0000-0000-000000000000"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_EVENT_NAME = re.compile(r"\.[0-9a-f]{14,16}\b")
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
_ADDRESS = re.compile(
    r"\b(?:10\.9[679]\.\d+\.\d+|10\.7[0-9]\.\d+\.\d+|10\.8\d\.\d+\.\d+|127\.(?:6[4-9]|[7-9]\d|1[0-2]\d)\.\d+\.\d+"
    r"|127\.0\.0\.1|10\.42\.\d+\.\d+|10\.43\.\d+\.\d+|172\.(?:1[6-9]|2\d|3[01])\.\d+\.\d+|192\.168\.\d+\.\d+)\b"
)
# What a controller makes of a workload's name: the hash of the template, and a pod's own tail.
_HASHED = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}(-[bcdfghjklmnpqrstvwxz2456789]{5})?(?![a-z0-9-])")
_NODE_PORT = re.compile(r"(?<=:)3[0-2]\d{3}(?=/)")
_RUNTIME = re.compile(
    r"(\b(?:containerd|process)://\S+?)(?=[\"\s,]|$)|\b(?:\S+@)?sha256:[0-9a-f]{64}|\b[0-9a-f]{64}\b"
)
_EXIT = re.compile(r"(command terminated with non-zero exit code: )[^\"]*?(exit code \d+)")
_EPOCH = re.compile(r"\bstart 1\d{9}\b")
# The second since its start, which a recorded container printed.
_TICK = re.compile(r"\btick \d+\b")
_AGE = re.compile(r"(?:\d+[smhdy])+|<unknown>|<invalid>")
_AGE_COLUMNS = ("age", "last seen", "first seen", "duration", "last schedule")
_VERSIONS_IN_TEXT = re.compile(
    r"(Too large resource version: \d+, current: )\d+|(too old resource version: )\d+ \(\d+\)"
)
_GO_PRINT = re.compile(
    r"(Invalid value: )\"?\{.*\}\"?(: field is immutable|: strict decoding error)|\n@@.*", re.S
)
_CONTINUE_KEYS = ("continue",)
_NODES = re.compile(r"\b(?:node[12]|fakenode)\b")
_COMPONENTS = frozenset(
    {
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "cluster-double",
        "kube-apiserver",
        "local-platform",
    }
)


@dataclass
class Scrubber:
    """Replaces what may differ; `tokens` are the generated names of one side, longest first."""

    tokens: Mapping[str, str]
    node_names: tuple[str, ...] = ()
    scenario: str = ""
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        names = sorted(self.tokens, key=len, reverse=True)
        self._token_pattern = re.compile("|".join(re.escape(name) for name in names)) if names else None
        self._node_pattern = (
            re.compile(r"\b(?:" + "|".join(re.escape(name) for name in self.node_names) + r")\b")
            if self.node_names
            else None
        )

    def scrubbed(self, value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return self._object(value)
        if isinstance(value, list | tuple):
            return self._list([*value], key)
        if isinstance(value, str):
            return self._text(value, key)
        if key == "nodePort" and isinstance(value, int) and 30000 <= value <= 32767:
            return self._note("address", "<node port>")
        return value

    def _note(self, name: str, value: Any) -> Any:
        self.used.add(name)
        return value

    def _object(self, value: Mapping[str, Any]) -> dict[str, Any]:
        if value.get("kind") == "Table":
            return self._table(value)
        if "involvedObject" in value and isinstance(value.get("count"), int):
            value = {**value, "count": self._note("repeats", "<count>")}
        if _is_slice(value):
            value = self._without_generation(value)
        if "phase" in value and "qosClass" in value and "resources" in value:
            self.used.add("machine")
            value = {key: item for key, item in value.items() if key != "resources"}
        if _is_openshift(value):
            return {"<OpenShift>": self._note("OpenShift", "")}
        if value.get("kind") == "Node" and "metadata" in value:
            value = self._node(value)
        result = {}
        for key, item in value.items():
            if key == "managedFields" and isinstance(item, list):
                result[key] = self._managers(item)
            elif key == "resourceVersion" and isinstance(item, str):
                result[key] = self._note("resource version", "<version>") if item else item
            elif key == "uid" and isinstance(item, str) and item != _ZERO_UUID:
                result[key] = self._note("uid", "<uid>")
            elif key in _CONTINUE_KEYS and isinstance(item, str) and item:
                result[key] = self._note("continue token", "<continue>")
            elif key.startswith("service.beta.openshift.io"):
                self.used.add("OpenShift")
            elif (isinstance(item, str) and "<masked" in item) or (
                key in ("ca.crt", "token") and isinstance(item, str)
            ):
                result[key] = self._note("masked", "<masked>")
            else:
                result[self._text(key, "") if "-" in key else key] = self.scrubbed(item, key)
        return result

    def _without_generation(self, slice_: Mapping[str, Any]) -> Mapping[str, Any]:
        """An EndpointSlice: how many changes of Pods were put into one update depends on the run."""
        self.used.add("coalesced events")
        metadata = {key: item for key, item in slice_["metadata"].items() if key != "generation"}
        return {**slice_, "metadata": metadata}

    def _node(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """A Node without what its machine decides."""
        self.used.add("machine")
        metadata = {
            k: v for k, v in node["metadata"].items() if k not in ("annotations", "labels", "managedFields")
        }
        conditions = [one["type"] for one in (node.get("status") or {}).get("conditions") or ()]
        return {
            **node,
            "kind": "a node",
            "metadata": metadata,
            "spec": {},
            "status": {"conditions": conditions},
        }

    def _managers(self, entries: list[Any]) -> Any:
        mine = [one for one in entries if one.get("manager") not in _COMPONENTS]
        if len(mine) != len(entries):
            self.used.add("component fields")
        plain = [self._object(one) for one in mine]
        return sorted(plain, key=lambda one: json.dumps(one, sort_keys=True))

    def _list(self, items: list[Any], key: str) -> list[Any]:
        kept = [item for item in items if not _is_openshift(item)]
        if len(kept) != len(items):
            self.used.add("OpenShift")
        before = set(self.used)
        self.used.discard("generated name")
        result = [self.scrubbed(item, key) for item in kept]
        if key == "conditions" and all(isinstance(one, Mapping) and "type" in one for one in result):
            if [one["type"] for one in result] != sorted(one["type"] for one in result):
                self.used.add("order")
            result.sort(key=lambda one: str(one["type"]))
        elif "generated name" in self.used or key in ("endpoints", "items", "addresses"):
            result.sort(key=_by_name)
        self.used |= before
        return result

    def _table(self, table: Mapping[str, Any]) -> dict[str, Any]:
        rows = [row for row in table.get("rows") or () if not _is_openshift(row.get("object"))]
        if len(rows) != len(table.get("rows") or ()):
            self.used.add("OpenShift")
        names = [str(one.get("name", "")).lower() for one in table.get("columnDefinitions") or ()]
        plain = {key: value for key, value in table.items() if key != "rows"}
        result = {**self._object({**plain, "kind": "table"}), "kind": "Table"}
        shown = []
        rows = [row for row in rows if not self._goes_on(row)]
        if "roles" in names:
            # Nodes: all but name, status and roles is the machine's.
            self.used.add("machine")
            rows = [{"cells": row["cells"][:3]} for row in rows]
        for row in rows:
            cells = [
                self._cell(cell, names[n] if n < len(names) else "") for n, cell in enumerate(row["cells"])
            ]
            cells = self._restarting(cells, names)
            shown.append({**self._object({k: v for k, v in row.items() if k != "cells"}), "cells": cells})
        if "generated name" in self.used:
            shown.sort(key=lambda one: json.dumps(one, sort_keys=True))
        result["rows"] = shown
        return result

    def _restarting(self, cells: list[Any], columns: list[str]) -> list[Any]:
        """A Pod that goes round shows Error, then CrashLoopBackOff."""
        if "restarts" not in columns or "status" not in columns[: len(cells)]:
            return cells
        status = columns.index("status")
        if cells[status] not in ("Error", "CrashLoopBackOff") or cells[columns.index("restarts")] in (0, "0"):
            return cells
        return [
            self._note("passing state", "<restarting>") if n == status else one for n, one in enumerate(cells)
        ]

    def _goes_on(self, row: Mapping[str, Any]) -> bool:
        name = ((row.get("object") or {}).get("metadata") or {}).get("name")
        if BACKGROUND.get(str(name), self.scenario) == self.scenario:
            return False
        self.used.add("background")
        return True

    def _cell(self, cell: Any, column: str) -> Any:
        if isinstance(cell, str) and _AGE.fullmatch(cell) and (column in _AGE_COLUMNS or not column):
            return self._note("time", "<age>")
        if isinstance(cell, str) and re.fullmatch(r"\d+ \(\S+ ago\)", cell):
            return self._note("time", f"{cell.split()[0]} (<age> ago)")
        if column == "count" and isinstance(cell, int):
            return self._note("repeats", "<count>")
        return self.scrubbed(cell, column)

    def _text(self, text: str, key: str) -> str:
        if "<masked" in text or "<path>" in text:
            return str(self._note("masked", "<masked>"))
        if "default-scheduler-vm" in text:
            text = self._note("address", text.replace("default-scheduler-vm", "default-scheduler"))
        text = self._replaced(
            _VERSIONS_IN_TEXT, text, "resource version", lambda m: f"{m[1] or m[2]}<version>"
        )
        text = self._replaced(
            _GO_PRINT, text, "Go struct", lambda m: f"{m[1] or ''}<struct>{m[2] or ''}" if m[1] else ""
        )
        text = self._replaced(_UUID, text, "uid", lambda m: m[0] if m[0] == _ZERO_UUID else "<uid>")
        text = self._replaced(_EXIT, text, "container runtime", lambda m: f"{m[1]}<runtime> {m[2]}")
        text = self._replaced(_EPOCH, text, "time", lambda _: "start <time>")
        text = self._replaced(_TICK, text, "time", lambda _: "tick <time>")
        text = self._replaced(_TIME, text, "time", lambda _: "<time>")
        text = self._replaced(_TOKEN_VOLUME, text, "generated name", lambda _: "kube-api-access-<generated>")
        text = self._replaced(_EVENT_NAME, text, "generated name", lambda _: ".<generated>")
        text = self._replaced(
            _HASHED, text, "generated name", lambda m: "-<template hash>" + ("-<generated>" if m[1] else "")
        )
        if self._token_pattern:
            text = self._replaced(self._token_pattern, text, "generated name", lambda m: self.tokens[m[0]])
        text = self._replaced(
            _RUNTIME, text, "container runtime", lambda m: "<container>" if m[1] else "<image>"
        )
        text = self._replaced(_NODE_PORT, text, "address", lambda _: "<node port>")
        text = self._replaced(_ADDRESS, text, "address", lambda _: "<address>")
        text = self._replaced(_NODES, text, "address", lambda _: "<node>")
        if self._node_pattern:
            text = self._replaced(self._node_pattern, text, "address", lambda _: "<node>")
        return text

    def _replaced(
        self, pattern: re.Pattern[str], text: str, name: str, by: Callable[[re.Match[str]], str]
    ) -> str:
        result = pattern.sub(by, text)
        if result != text:
            self.used.add(name)
        return result


def _by_name(item: Any) -> tuple[str, str]:
    metadata = item.get("metadata") if isinstance(item, Mapping) else None
    name = metadata.get("name", "") if isinstance(metadata, Mapping) else ""
    return str(name), json.dumps(item, sort_keys=True)


def _is_slice(value: Mapping[str, Any]) -> bool:
    """Whether it is an EndpointSlice, or the metadata of one."""
    if "endpoints" in value and "addressType" in value:
        return True
    labels = (value.get("metadata") or {}).get("labels") or {}
    return value.get("kind") == "PartialObjectMetadata" and "endpointslice.kubernetes.io/managed-by" in labels


def _is_openshift(item: Any) -> bool:
    if not isinstance(item, Mapping):
        return False
    name = (item.get("metadata") or {}).get("name") if isinstance(item.get("metadata"), Mapping) else None
    config_map = item.get("configMap")
    return name == "openshift-service-ca.crt" or (
        isinstance(config_map, Mapping) and config_map.get("name") == "openshift-service-ca.crt"
    )


# Go embeds these; protobuf shows them as fields of their own, JSON does not.
_INLINED = ("handler", "volumeSource", "localObjectReference", "ephemeralContainerCommon", "secretReference")


def without_protobuf_zeros(value: Any) -> Any:
    """Drops what only protobuf shows: numbers that are 0, empty maps and lists."""
    if isinstance(value, Mapping):
        plain = {key: without_protobuf_zeros(item) for key, item in value.items()}
        for inlined in _INLINED:
            if isinstance(plain.get(inlined), Mapping):
                plain |= plain.pop(inlined)
        return {key: item for key, item in plain.items() if item not in (0, "", None, {}, [])}
    if isinstance(value, list):
        return [without_protobuf_zeros(item) for item in value]
    return value
