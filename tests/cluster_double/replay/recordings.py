"""The recordings as typed values, with their references resolved."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[3]


def shared_folder() -> Path:
    """Where the recordings lie: $SHARED, otherwise `../shared` beside the checkout."""
    return Path(os.environ.get("SHARED") or CHECKOUT.parent / "shared") / "data" / "kube-recordings"


@dataclass(frozen=True)
class Exchange:
    """One recorded request with what came back. Times are milliseconds from the scenario's start."""

    scenario: str
    seq: int
    command: int | None
    start: int
    duration: int
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: Any
    status: int
    response_headers: Mapping[str, str]
    response: Any
    events: tuple[Mapping[str, Any], ...]
    frames: tuple[Mapping[str, Any], ...]
    stream: tuple[Mapping[str, Any], ...]
    ended: str
    in_protobuf: bool

    @property
    def parameters(self) -> dict[str, str]:
        return dict(self.query)

    @property
    def is_watch(self) -> bool:
        if self.method != "GET" or self.status != 200:
            return False
        if not self.events and self.response is not None:
            # `watch` on the path of one object is not a watch: the server answers the object.
            return False
        return self.parameters.get("watch", "").lower() in ("1", "true") or "/watch/" in self.path

    @property
    def is_websocket(self) -> bool:
        return self.status == 101

    @property
    def follows_log(self) -> bool:
        return self.path.endswith("/log") and self.parameters.get("follow", "").lower() == "true"

    @property
    def end(self) -> int:
        return self.start + self.duration


@dataclass(frozen=True)
class Scenario:
    name: str
    description: str
    control_plane: str
    exchanges: tuple[Exchange, ...]
    commands: tuple[Mapping[str, Any], ...]


@cache
def load() -> tuple[Scenario, ...]:
    """Every scenario in recorded order."""
    folder = shared_folder()
    raw: dict[tuple[str, int], dict[str, Any]] = {}
    with gzip.open(folder / "exchanges.jsonl.gz", "rt") as lines:
        for line in lines:
            one = json.loads(line)
            raw[one["scenario"], one["seq"]] = one
    index = json.loads((folder / "scenarios.json").read_text())
    by_scenario: dict[str, list[Exchange]] = {one["name"]: [] for one in index}
    for one in raw.values():
        by_scenario[one["scenario"]].append(_exchange(one, raw))
    return tuple(
        Scenario(
            one["name"],
            one["description"],
            one["control_plane"],
            tuple(sorted(by_scenario[one["name"]], key=lambda exchange: exchange.seq)),
            tuple(one["commands"]),
        )
        for one in index
    )


def _exchange(one: Mapping[str, Any], raw: Mapping[tuple[str, int], Mapping[str, Any]]) -> Exchange:
    return Exchange(
        scenario=one["scenario"],
        seq=one["seq"],
        command=one["cmd"],
        start=one["t_ms"],
        duration=one["dur_ms"] or 0,
        method=one["method"],
        path=one["path"],
        query=tuple((key, value) for key, value in one["query"]),
        headers=one["request_headers"],
        body=_resolved(one.get("request_body"), raw),
        status=one["status"],
        response_headers=one["response_headers"],
        response=_resolved(one.get("response_body"), raw),
        events=tuple(_plain_event(event) for event in one.get("watch_events", ())),
        frames=tuple(one.get("frames", ())),
        stream=tuple(one.get("stream", ())),
        ended=one.get("ended") or "",
        in_protobuf="watch_encoding" in one,
    )


def _plain_event(event: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = event["event"]
    return {**event, "event": {**inner, "object": decoded(inner["object"])}}


def _resolved(body: Any, raw: Mapping[tuple[str, int], Mapping[str, Any]]) -> Any:
    while isinstance(body, dict) and "$same_as" in body:
        scenario, seq, *where = body["$same_as"]
        body = raw[scenario, seq].get("request_body" if where == ["request"] else "response_body")
    return body


def wire_body(body: Any) -> bytes | None:
    """The bytes that were sent."""
    if body is None:
        return None
    if isinstance(body, dict) and "$protobuf" in body:
        if "base64" not in body:
            # Left out of the recording where it would hold a token.
            return json.dumps(body["decoded"]).encode()
        return base64.b64decode(body["base64"])
    if isinstance(body, str):
        return body.encode()
    return json.dumps(body).encode()


def decoded(body: Any) -> Any:
    """A body as JSON, protobuf ones from the recordings' own decoding."""
    if isinstance(body, dict) and "$protobuf" in body:
        return body["decoded"]
    return body


_HASH = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{5,10}")


def objects_in(value: Any) -> list[Mapping[str, Any]]:
    """Every API object inside a body: the object itself, a list's items, a table's rows, watch events."""
    found: list[Mapping[str, Any]] = []
    stack = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, Mapping):
            if isinstance(current.get("metadata"), Mapping):
                found.append(current)
            stack.extend(current.values())
        elif isinstance(current, list | tuple):
            stack.extend(current)
    return found


def generated_tokens(value: Any) -> dict[str, str]:
    """Names that the server or a controller made up, with what they are called in a comparison."""
    tokens: dict[str, str] = {}
    for obj in objects_in(value):
        metadata = obj["metadata"]
        name, prefix = metadata.get("name"), metadata.get("generateName")
        template_hash = (metadata.get("labels") or {}).get("pod-template-hash")
        if isinstance(template_hash, str) and _HASH.fullmatch(template_hash):
            tokens[template_hash] = "<template hash>"
        if name and prefix and name.startswith(prefix) and len(name) - len(prefix) == 5:
            if template_hash:
                prefix = prefix.replace(template_hash, "<template hash>")
            tokens[name] = f"{prefix}<generated>"
    return tokens
