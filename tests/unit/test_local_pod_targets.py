"""Which pods Prometheus scrapes."""

from __future__ import annotations

from typing import Any

import pytest

from local_platform.services.pod_targets import apply_event, targets


def pod(
    uid: str = "u1", *, phase: str = "Running", ip: str | None = "127.64.0.9", **annotations: str
) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": uid,
            "name": f"llm-service-blue-{uid}",
            "namespace": "llm-service-prod",
            "labels": {"app": "llm-service", "version": "blue", "pod-template-hash": "x"},
            "annotations": {f"prometheus.io/{key}": value for key, value in annotations.items()},
        },
        "status": {"phase": phase, **({"podIP": ip} if ip else {})},
    }


def test_a_running_pod_that_asks_for_it_is_a_target_with_its_colour() -> None:
    assert targets({"u1": pod(scrape="true", port="8000", path="/api/metrics")}) == [
        {
            "targets": ["127.64.0.9:8000"],
            "labels": {
                "namespace": "llm-service-prod",
                "pod": "llm-service-blue-u1",
                "app": "llm-service",
                "version": "blue",
                "__metrics_path__": "/api/metrics",
            },
        }
    ]


@pytest.mark.parametrize(
    "silent",
    [
        pytest.param(pod(port="8000"), id="it does not ask"),
        pytest.param(pod(scrape="false"), id="it declines"),
        pytest.param(pod(scrape="true", phase="Pending"), id="it does not run yet"),
        pytest.param(pod(scrape="true", ip=None), id="it has no address"),
    ],
)
def test_other_pods_are_left_alone(silent: dict[str, Any]) -> None:
    assert targets({"u1": silent}) == []


def test_watch_events_keep_the_table_current() -> None:
    pods: dict[str, dict[str, Any]] = {}
    apply_event(pods, {"type": "ADDED", "object": pod("u1", scrape="true")})
    apply_event(pods, {"type": "ADDED", "object": pod("u2", scrape="true")})
    apply_event(pods, {"type": "MODIFIED", "object": pod("u2", scrape="true", phase="Failed")})
    apply_event(pods, {"type": "DELETED", "object": pod("u1")})
    apply_event(pods, {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}})

    assert set(pods) == {"u2"}
    assert targets(pods) == []
