from __future__ import annotations

from typing import Any

import pytest

from local_platform.gateway.backends import Backend
from local_platform.gateway.routes import UnsupportedRoute, header_changes, seconds
from local_platform.gateway.status import CONTROLLER_NAME, parent_statuses
from local_platform.gateway.translate import Condition, World, translate

Json = dict[str, Any]


def service(name: str, port: int = 80, port_name: str = "http") -> Json:
    return {
        "metadata": {"namespace": "prod", "name": name},
        "spec": {"ports": [{"name": port_name, "port": port}]},
    }


def endpoint(address: str, **conditions: bool) -> Json:
    return {"addresses": [address], "conditions": conditions}


def endpoint_slice(name: str, of: str, *endpoints: Json, port: int = 8000, port_name: str = "http") -> Json:
    return {
        "metadata": {"namespace": "prod", "name": name, "labels": {"kubernetes.io/service-name": of}},
        "ports": [{"name": port_name, "port": port}],
        "endpoints": list(endpoints),
    }


def route(*rules: Json, name: str = "app", hostnames: list[str] | None = None, created: str = "") -> Json:
    return {
        "metadata": {"namespace": "prod", "name": name, "creationTimestamp": created, "generation": 3},
        "spec": {
            "hostnames": ["app.example.com"] if hostnames is None else hostnames,
            "rules": list(rules),
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"}],
        },
    }


def backend_ref(name: str, weight: int = 1, **more: Any) -> Json:
    return {"name": name, "port": 80, "weight": weight, **more}


def world(*objects: Json) -> World:
    def keyed(*found: Json) -> dict[tuple[str, str], Json]:
        return {(obj["metadata"]["namespace"], obj["metadata"]["name"]): obj for obj in found}

    return World(
        keyed(*(obj for obj in objects if "rules" in obj.get("spec", {}))),
        keyed(*(obj for obj in objects if "rules" not in obj.get("spec", {"rules": 1}))),
        keyed(*(obj for obj in objects if "endpoints" in obj)),
    )


def envoy_routes(of: World, host: str = "app.example.com") -> list[Json]:
    hosts = translate(of).route_configuration["virtual_hosts"]
    return next(entry["routes"] for entry in hosts if entry["domains"] == [host])


BLUE_GREEN = (service("app-blue"), service("app-green"))


def test_weights_and_colour_headers_reach_envoy() -> None:
    colour = {
        "type": "ResponseHeaderModifier",
        "responseHeaderModifier": {"set": [{"name": "x-platform-colour", "value": "blue"}]},
    }
    rule = {"backendRefs": [backend_ref("app-blue", 95, filters=[colour]), backend_ref("app-green", 5)]}
    (only,) = envoy_routes(world(*BLUE_GREEN, route(rule)))
    blue, green = only["route"]["weighted_clusters"]["clusters"]
    assert (blue["name"], blue["weight"]) == ("prod/app-blue/80", 95)
    assert (green["name"], green["weight"]) == ("prod/app-green/80", 5)
    assert blue["response_headers_to_add"] == [
        {
            "header": {"key": "x-platform-colour", "value": "blue"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    ]


def test_a_backend_of_weight_zero_is_kept_warm_but_gets_nothing() -> None:
    rule = {"backendRefs": [backend_ref("app-blue", 100), backend_ref("app-green", 0)]}
    translation = translate(world(*BLUE_GREEN, route(rule)))
    (virtual_host,) = translation.route_configuration["virtual_hosts"]
    assert [c["name"] for c in virtual_host["routes"][0]["route"]["weighted_clusters"]["clusters"]] == [
        "prod/app-blue/80"
    ]
    assert Backend("prod", "app-green", 80) in translation.backends


def test_without_any_weight_the_answer_is_500() -> None:
    (only,) = envoy_routes(world(*BLUE_GREEN, route({"backendRefs": [backend_ref("app-blue", 0)]})))
    assert only["direct_response"]["status"] == 500


def test_specific_matches_come_first_whatever_their_order() -> None:
    def rule(**match: Any) -> Json:
        return {"matches": [match], "backendRefs": [backend_ref("app-blue")]}

    prefix = {"type": "PathPrefix", "value": "/"}
    header = [{"name": "x-platform-colour", "value": "green"}]
    routes = envoy_routes(
        world(
            *BLUE_GREEN,
            route(
                rule(path=prefix),
                rule(path={"type": "PathPrefix", "value": "/api"}),
                rule(path=prefix, headers=header),
                rule(path={"type": "Exact", "value": "/api"}),
                rule(path=prefix, method="POST"),
            ),
        )
    )
    assert [r["match"] for r in routes] == [
        {"path": "/api"},
        {"path_separated_prefix": "/api"},
        {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]},
        {"prefix": "/", "headers": [{"name": "x-platform-colour", "string_match": {"exact": "green"}}]},
        {"prefix": "/"},
    ]


def test_of_two_equal_matches_the_older_route_wins() -> None:
    young = route({"backendRefs": [backend_ref("app-green")]}, name="a", created="2026-02-01T00:00:00Z")
    old = route({"backendRefs": [backend_ref("app-blue")]}, name="b", created="2026-01-01T00:00:00Z")
    first, _ = envoy_routes(world(*BLUE_GREEN, young, old))
    assert first["route"]["weighted_clusters"]["clusters"][0]["name"] == "prod/app-blue/80"


@pytest.mark.parametrize(
    ("conditions", "used"),
    [
        pytest.param({"ready": True}, True, id="ready"),
        pytest.param({}, True, id="no word means ready"),
        pytest.param({"ready": False}, False, id="unready"),
        pytest.param({"ready": False, "serving": True, "terminating": True}, False, id="terminating"),
        pytest.param({"ready": True, "terminating": True}, False, id="ready but about to get SIGTERM"),
    ],
)
def test_only_ready_endpoints_that_stay_get_requests(conditions: dict[str, bool], used: bool) -> None:
    translation = translate(
        world(
            *BLUE_GREEN,
            route({"backendRefs": [backend_ref("app-blue")]}),
            endpoint_slice("app-blue-1", "app-blue", endpoint("127.64.0.1", **conditions)),
        )
    )
    expected = [("127.64.0.1", 8000)] if used else []
    assert translation.backends[Backend("prod", "app-blue", 80)] == expected


def test_endpoints_come_from_the_slices_of_the_service_and_the_port_of_its_name() -> None:
    both_ports = endpoint_slice("app-blue-1", "app-blue", endpoint("127.64.0.1"))
    both_ports["ports"].append({"name": "metrics", "port": 9000})
    translation = translate(
        world(
            *BLUE_GREEN,
            route({"backendRefs": [backend_ref("app-blue")]}),
            both_ports,
            endpoint_slice("app-blue-2", "app-blue", endpoint("127.64.0.2"), endpoint("127.64.0.1")),
            endpoint_slice("app-green-1", "app-green", endpoint("127.64.0.9")),
        )
    )
    assert translation.backends == {
        Backend("prod", "app-blue", 80): [("127.64.0.1", 8000), ("127.64.0.2", 8000)]
    }


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        pytest.param(backend_ref("app-red"), "BackendNotFound", id="no such Service"),
        pytest.param({"name": "app-blue", "port": 81}, "BackendNotFound", id="no such port"),
        pytest.param(backend_ref("app-blue", kind="Gizmo", group="x.io"), "InvalidKind", id="no Service"),
        pytest.param(backend_ref("app-blue", namespace="dev"), "RefNotPermitted", id="another namespace"),
    ],
)
def test_a_backend_ref_that_names_nothing_is_told_and_answers_500(ref: Json, reason: str) -> None:
    of = world(*BLUE_GREEN, route({"backendRefs": [ref]}))
    accepted, resolved = translate(of).verdicts[("prod", "app")]
    assert (accepted.status, resolved.type, resolved.status, resolved.reason) == (
        True,
        "ResolvedRefs",
        False,
        reason,
    )
    (only,) = envoy_routes(of)
    assert only["route"]["cluster_not_found_response_code"] == "INTERNAL_SERVER_ERROR"


def test_a_route_that_cannot_be_translated_does_not_hold_up_the_others() -> None:
    bad = route({"filters": [{"type": "RequestMirror"}]}, name="bad", hostnames=["bad.example.com"])
    good = route({"backendRefs": [backend_ref("app-blue")]})
    translation = translate(world(*BLUE_GREEN, bad, good))
    (refused,) = translation.verdicts[("prod", "bad")]
    assert (refused.status, refused.reason) == (False, "UnsupportedValue")
    assert "RequestMirror" in refused.message
    assert [h["name"] for h in translation.route_configuration["virtual_hosts"]] == ["app.example.com"]


def test_a_route_without_hostnames_answers_for_every_host() -> None:
    of = world(*BLUE_GREEN, route({"backendRefs": [backend_ref("app-blue")]}, hostnames=[]))
    assert len(envoy_routes(of, "*")) == 1


def test_a_percent_sign_in_a_header_stays_a_percent_sign() -> None:
    changes = header_changes(
        [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "a", "value": "5%"}]}}],
        "rules[0]",
    )
    assert changes["request_headers_to_add"][0]["header"]["value"] == "5%%"


@pytest.mark.parametrize(
    ("written", "envoy"),
    [("10s", "10s"), ("1m30s", "90s"), ("250ms", "0.25s"), ("1h", "3600s"), ("0s", "0s")],
)
def test_durations_are_translated(written: str, envoy: str) -> None:
    assert seconds(written) == envoy


@pytest.mark.parametrize("written", ["", "10", "1.5s", "5d"])
def test_a_duration_without_a_known_unit_is_refused(written: str) -> None:
    with pytest.raises(UnsupportedRoute, match="GEP-2257"):
        seconds(written)


TRUE = Condition("Accepted", True, "Accepted", "the route is translated")
FALSE = Condition("Accepted", False, "UnsupportedValue", "no")


def test_the_status_names_each_gateway_and_the_generation() -> None:
    (parent,) = parent_statuses(route(), [TRUE], "2026-01-01T00:00:00Z") or []
    assert parent["controllerName"] == CONTROLLER_NAME
    assert parent["parentRef"]["name"] == "public"
    assert parent["conditions"] == [
        {
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "the route is translated",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]


def test_a_condition_keeps_its_time_until_it_turns() -> None:
    told = route()
    told["status"] = {"parents": parent_statuses(told, [TRUE], "2026-01-01T00:00:00Z")}
    assert parent_statuses(told, [TRUE], "2026-01-02T00:00:00Z") is None
    told["metadata"]["generation"] = 4
    (same,) = parent_statuses(told, [TRUE], "2026-01-02T00:00:00Z") or []
    assert same["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    (turned,) = parent_statuses(told, [FALSE], "2026-01-02T00:00:00Z") or []
    assert turned["conditions"][0]["lastTransitionTime"] == "2026-01-02T00:00:00Z"


def test_what_another_controller_says_stays() -> None:
    told = route()
    foreign = {"controllerName": "else.example.com/x", "parentRef": {"name": "public"}, "conditions": []}
    told["status"] = {"parents": [foreign]}
    parents = parent_statuses(told, [TRUE], "2026-01-01T00:00:00Z") or []
    assert [parent["controllerName"] for parent in parents] == ["else.example.com/x", CONTROLLER_NAME]
