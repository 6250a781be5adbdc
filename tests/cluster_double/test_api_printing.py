"""Tables and protobuf: against tables of cases, and against the recordings where they are at hand."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from replay.recordings import decoded, load, shared_folder, wire_body

from local_platform.cluster import protobuf, tables
from local_platform.cluster.errors import StatusError
from local_platform.cluster.pod_status import summarise
from local_platform.cluster.printing import duration
from local_platform.cluster.resources import Resources

LATER = datetime(2027, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

needs_recordings = pytest.mark.skipif(
    not os.environ.get("CI") and not shared_folder().is_dir(),
    reason="the recordings are not here: set SHARED to the folder that holds them",
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (28_800, "8h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (70_000_000, "2y80d"),
        (252_288_000, "8y"),
    ],
)
def test_ages_have_two_units_at_most(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def _pod(phase: str, *containers: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    named = [{"name": f"c{number}"} for number, _ in enumerate(containers)]
    statuses = [{"name": f"c{number}", **one} for number, one in enumerate(containers)]
    return {
        "metadata": {"name": "p", **metadata},
        "spec": {"containers": named},
        "status": {"phase": phase, "containerStatuses": statuses},
    }


RUNNING = {"ready": True, "state": {"running": {}}}
UNREADY = {"ready": False, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("pod", "reason", "ready"),
    [
        pytest.param(_pod("Pending"), "Pending", 0, id="pending"),
        pytest.param(_pod("Running", RUNNING), "Running", 1, id="running"),
        pytest.param(_pod("Running", UNREADY), "Running", 0, id="unready"),
        pytest.param(
            _pod("Running", {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}),
            "CrashLoopBackOff",
            0,
            id="waiting",
        ),
        pytest.param(
            _pod("Failed", {"state": {"terminated": {"exitCode": 3}}}), "ExitCode:3", 0, id="exit-code"
        ),
        pytest.param(
            _pod("Running", {"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}, RUNNING),
            "NotReady",
            1,
            id="one-completed",
        ),
        pytest.param(
            _pod("Running", RUNNING, deletionTimestamp="2026-11-22T12:00:00Z"), "Terminating", 1, id="leaving"
        ),
    ],
)
def test_a_pod_is_summed_up_in_one_word(pod: dict[str, Any], reason: str, ready: int) -> None:
    summary = summarise(pod)
    assert (summary.reason, summary.ready) == (reason, ready)


def test_an_init_container_that_waits_is_counted() -> None:
    pod = _pod("Pending")
    pod["spec"]["initContainers"] = [{"name": "a"}, {"name": "b"}]
    done = {"name": "a", "state": {"terminated": {"exitCode": 0}}}
    pod["status"]["initContainerStatuses"] = [done, {"name": "b", "state": {"running": {}}}]
    assert summarise(pod).reason == "Init:1/2"


def test_custom_columns_follow_their_json_paths() -> None:
    columns = [
        {"name": "Hosts", "type": "string", "jsonPath": ".spec.hosts"},
        {"name": "First", "type": "string", "jsonPath": ".spec.hosts[0]"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Count", "type": "integer", "jsonPath": ".spec.count"},
        {"name": "Missing", "type": "string", "jsonPath": ".spec.nothing"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    version = {"name": "v1", "served": True, "additionalPrinterColumns": columns}
    names = {"plural": "widgets", "kind": "Widget"}
    definition = {
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    }
    known = Resources()
    known.install(definition)
    resource = known.find("example.com", "v1", "widgets")
    assert resource is not None
    widget = {
        "kind": "Widget",
        "metadata": {"name": "w", "creationTimestamp": "2026-11-22T11:59:00Z"},
        "spec": {"hosts": ["a.example", "b.example"], "count": 2},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    row = tables.table(resource, [widget], {}, NOW)["rows"][0]
    assert row["cells"] == ["w", '["a.example","b.example"]', "a.example", "True", 2, None, "60s"]


def test_a_protobuf_message_of_an_unknown_kind_asks_for_json() -> None:
    unknown = b"\x0a\x0b\x0a\x02v1\x12\x05Thing"
    with pytest.raises(StatusError) as refused:
        protobuf.decode(protobuf.MAGIC + unknown)
    assert refused.value.code == 415


def test_a_cut_off_protobuf_body_is_a_bad_request() -> None:
    with pytest.raises(StatusError) as refused:
        protobuf.decode(protobuf.MAGIC + b"\x0a\x7f\x01")
    assert refused.value.code == 400


def _without_zeros(value: Any) -> Any:
    """The recordings' decoder keeps zero numbers, which Go's JSON leaves out."""
    if isinstance(value, dict):
        kept = {key: _without_zeros(one) for key, one in value.items() if key != "status"}
        return {key: one for key, one in kept.items() if one is not False and one not in (None, {}, 0)}
    return [_without_zeros(one) for one in value] if isinstance(value, list) else value


@pytest.mark.recordings
@needs_recordings
def test_every_recorded_protobuf_request_is_read_as_its_json() -> None:
    requests = [
        exchange
        for scenario in load()
        for exchange in scenario.exchanges
        if isinstance(exchange.body, dict) and exchange.body.get("base64")
    ]
    assert len(requests) > 30
    for exchange in requests:
        read = protobuf.decode(wire_body(exchange.body) or b"")
        assert _without_zeros(read) == _without_zeros(decoded(exchange.body)), exchange.path


@pytest.mark.recordings
@needs_recordings
def test_recorded_rows_come_out_of_the_recorded_objects() -> None:
    known = Resources()
    seen: dict[tuple[str, str, str], dict[str, Any]] = {}
    rows: list[tuple[str, dict[str, Any]]] = []
    for scenario in load():
        for exchange in scenario.exchanges:
            events = [one["event"]["object"] for one in exchange.events]
            for answer in filter(None, map(decoded, [exchange.response, *events])):
                _collect(exchange.path, answer, seen, rows)
    compared = 0
    for path, row in rows:
        parts = path.strip("/").split("/")
        group, version, rest = ("", "v1", parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
        plural = rest[2] if rest[0] == "namespaces" and len(rest) > 2 else rest[0]
        resource = known.find(group, version, plural)
        metadata = row["object"]["metadata"]
        key = (resource.kind if resource else "", metadata["uid"], metadata["resourceVersion"])
        if resource is None or key not in seen:
            continue
        printed = tables.table(resource, [seen[key]], {}, LATER)["rows"][0]
        assert _ageless(printed["cells"]) == _ageless(row["cells"]), path
        assert printed.get("conditions") == row.get("conditions")
        compared += 1
    assert compared > 200


def _collect(path: str, answer: Any, seen: dict[Any, Any], rows: list[Any]) -> None:
    if not isinstance(answer, dict):
        return
    kind = answer.get("kind", "")
    if kind == "Table":
        rows += [(path, row) for row in answer.get("rows") or [] if row.get("object")]
        return
    items = answer.get("items") if kind.endswith("List") else [answer]
    for item in items or []:
        metadata = item.get("metadata") or {}
        if metadata.get("uid") and metadata.get("resourceVersion"):
            own = item.get("kind") or kind.removesuffix("List")
            seen[(own, metadata["uid"], metadata["resourceVersion"])] = {**item, "kind": own}


_AGE = re.compile(r"\d+[smhdy](\d+[smhdy])?( ago)?")


def _ageless(cells: list[Any]) -> list[Any]:
    return [_AGE.sub("AGE", cell) if isinstance(cell, str) else cell for cell in cells]
