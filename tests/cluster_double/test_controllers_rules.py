"""The controllers' arithmetic and decisions, without a cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_platform.cluster.controllers.correlation import EventCorrelator
from local_platform.cluster.controllers.endpoints import endpoint, slice_ports
from local_platform.cluster.controllers.job_status import failure_of, success_of
from local_platform.cluster.controllers.resources import Object, matches_selector
from local_platform.cluster.controllers.rolling import (
    Bounds,
    Counts,
    bounds,
    new_set_size,
    share_scaling,
    shrink_old_sets,
)
from local_platform.cluster.controllers.scheduler import explain, why_not
from local_platform.cluster.controllers.trigger_times import TRIGGER_TIME, TriggerTimes, annotated


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (4, "25%", "25%", Bounds(1, 1)),
        (3, "25%", "25%", Bounds(1, 0)),
        (1, "25%", "25%", Bounds(1, 0)),
        (10, "0%", "0%", Bounds(0, 1)),
        (2, 3, 5, Bounds(3, 2)),
    ],
    ids=["quarter", "surge-rounds-up-unavailable-down", "one", "never-both-zero", "not-more-than-there-are"],
)
def test_percentages_become_numbers(
    replicas: int, surge: int | str, unavailable: int | str, expected: Bounds
) -> None:
    assert bounds(replicas, surge, unavailable) == expected


@given(
    replicas=st.integers(1, 20),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    old=st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), max_size=3),
    new=st.tuples(st.integers(0, 10), st.integers(0, 10)),
)
def test_no_step_of_a_rolling_update_goes_below_its_minimum_or_above_its_maximum(
    replicas: int, surge: int, unavailable: int, old: list[tuple[int, int]], new: tuple[int, int]
) -> None:
    limits = bounds(replicas, surge, unavailable)
    others = [Counts(f"old{i}", size, size, min(size, up), str(i)) for i, (size, up) in enumerate(old)]
    current = Counts("new", min(new[0], replicas), new[0], min(new[0], new[1], replicas), "9")
    total = current.wanted + sum(one.wanted for one in others)
    grown = new_set_size(replicas, current, others, limits)
    assert grown <= replicas
    assert grown == current.wanted or total - current.wanted + grown <= replicas + limits.surge
    sizes = shrink_old_sets(replicas, current, others, limits)
    available = current.available + sum(one.available for one in others)
    # A pod that may be removed is counted as available unless its set has more pods than available ones.
    left = current.available + sum(min(one.available, sizes.get(one.name, one.wanted)) for one in others)
    assert left >= min(available, replicas - limits.unavailable)
    assert all(
        0 <= size < next(one.wanted for one in others if one.name == name) for name, size in sizes.items()
    )


def test_a_deployment_scaled_in_mid_rollout_keeps_its_proportions() -> None:
    sets = [Counts("old", 8, 8, 8, "1"), Counts("new", 4, 4, 2, "2")]
    assert share_scaling(20, 4, sets, {"old": 12, "new": 12}) == {"old": 16, "new": 8}


@pytest.mark.parametrize(
    ("replicas", "size", "expected"),
    [(2, 1, {"old": 1, "new": 2}), (2, 2, {"old": 1, "new": 2})],
    ids=["the-newest-grows-first", "the-oldest-shrinks-first"],
)
def test_of_sets_of_one_size_age_decides(replicas: int, size: int, expected: dict[str, int]) -> None:
    sets = [Counts("old", size, size, size, "1"), Counts("new", size, size, size, "2")]
    before = {"old": 2 * size, "new": 2 * size}
    assert share_scaling(replicas, 1, sets, before) == expected


@pytest.mark.parametrize(
    ("deleting", "ready", "expected"),
    [
        (False, True, {"ready": True, "serving": True, "terminating": False}),
        (False, False, {"ready": False, "serving": False, "terminating": False}),
        (True, True, {"ready": False, "serving": True, "terminating": True}),
    ],
    ids=["ready", "unready", "ending-but-serving"],
)
def test_an_ending_pod_serves_but_takes_nothing_new(
    deleting: bool, ready: bool, expected: dict[str, bool]
) -> None:
    service = {
        "metadata": {"name": "web", "namespace": "n"},
        "spec": {"ports": [{"port": 80, "targetPort": "http"}]},
    }
    assert endpoint(service, running_pod(deleting=deleting, ready=ready))["conditions"] == expected


def test_a_port_given_by_name_is_looked_up_in_the_pod() -> None:
    service = {
        "metadata": {"name": "web"},
        "spec": {"ports": [{"name": "web", "port": 80, "targetPort": "http"}]},
    }
    assert slice_ports(service, running_pod()) == [{"name": "web", "protocol": "TCP", "port": 8000}]
    service["spec"]["ports"][0]["targetPort"] = "other"  # type: ignore[index]
    assert slice_ports(service, running_pod()) == []


def running_pod(*, deleting: bool = False, ready: bool = True) -> Object:
    metadata: Object = {"name": "p", "namespace": "n", "uid": "u"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": "n",
            "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8000}]}],
        },
        "status": {"podIP": "127.64.0.9", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ({"matchLabels": {"app": "a"}}, {"app": "a", "x": "y"}, True),
        ({"matchLabels": {"app": "a"}}, {}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, {"app": "b"}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, {}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, {}, True),
    ],
    ids=["labels", "label-missing", "in", "not-in", "exists", "does-not-exist"],
)
def test_label_selectors(selector: Object, labels: dict[str, str], expected: bool) -> None:
    assert matches_selector(selector, labels) is expected


def test_the_scheduler_says_why_no_node_fits() -> None:
    nodes = [{"metadata": {"name": "one", "labels": {"disk": "slow"}}, "spec": {}}]
    pod = {"spec": {"nodeSelector": {"disk": "fast"}}}
    assert why_not(pod, nodes[0]) == "node(s) didn't match Pod's node affinity/selector"
    assert explain(pod, nodes) == (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. "
        "no new claims to deallocate, preemption: 0/1 nodes are available: "
        "1 Preemption is not helpful for scheduling."
    )
    assert why_not({"spec": {}}, nodes[0]) == ""


@pytest.mark.parametrize(
    ("spec", "succeeded", "failed", "expected"),
    [
        ({"completions": 2}, 1, 0, None),
        ({"completions": 2}, 2, 0, "SuccessCriteriaMet"),
        ({}, 1, 0, "SuccessCriteriaMet"),
        ({"completions": 1, "backoffLimit": 1}, 0, 1, None),
        ({"completions": 1, "backoffLimit": 1}, 0, 2, "FailureTarget"),
    ],
    ids=["not-yet", "enough", "any-one", "may-fail-once", "failed-too-often"],
)
def test_a_job_is_decided_by_its_counts(
    spec: Object, succeeded: int, failed: int, expected: str | None
) -> None:
    verdict = failure_of(spec, {}, failed) or success_of(spec, succeeded, [])
    assert (verdict[0] if verdict else None) == expected


def selected_pod(name: str, ready_since: str) -> Object:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": ready_since}
    return {"metadata": {"name": name, "namespace": "n"}, "status": {"conditions": [condition]}}


def test_an_update_of_endpoints_carries_the_earliest_change_behind_it() -> None:
    service = {"metadata": {"name": "web", "namespace": "n", "creationTimestamp": "2026-11-22T12:00:00Z"}}
    blue, green = selected_pod("blue", "2026-11-22T12:00:05Z"), selected_pod("green", "2026-11-22T12:00:03Z")
    times = TriggerTimes()
    assert times.of(service, []) == "2026-11-22T12:00:00Z"
    assert times.of(service, [blue, green]) == "2026-11-22T12:00:03Z"
    assert times.of(service, [blue, green]) == ""
    assert times.of(service, [blue]) == ""
    assert times.of(service, [green]) == "2026-11-22T12:00:03Z"
    metadata = annotated({"name": "web-1"}, "2026-11-22T12:00:03Z")
    assert metadata["annotations"] == {TRIGGER_TIME: "2026-11-22T12:00:03Z"}
    assert annotated(metadata, "")["annotations"] == {}


def happened(message: str) -> Object:
    subject = {"kind": "Deployment", "namespace": "n", "name": "web", "uid": "u", "apiVersion": "apps/v1"}
    source = {"component": "deployment-controller"}
    return {
        "involvedObject": subject,
        "source": source,
        "type": "Normal",
        "reason": "Scaled",
        "message": message,
    }


def test_events_of_one_reason_become_one_when_there_are_too_many() -> None:
    now = 0.0
    correlator = EventCorrelator(lambda: now)
    found = [correlator.combined(happened(f"to {number}")) for number in range(12)]
    assert [event["message"] for _, event in found[:10]] == [
        *(f"to {number}" for number in range(9)),
        "(combined from similar events): to 9",
    ]
    assert len({key for key, _ in found}) == 10
    assert found[9][0] == found[11][0]
    now = 601.0
    assert correlator.combined(happened("later"))[1]["message"] == "later"


def test_a_source_that_goes_on_about_one_object_is_cut() -> None:
    now = 0.0
    correlator = EventCorrelator(lambda: now)
    assert [correlator.admits(happened("again")) for _ in range(27)] == [True] * 25 + [False] * 2
    now = 300.0
    assert [correlator.admits(happened("again")) for _ in range(2)] == [True, False]
