"""Decoding, defaults and validation of the double, rule by rule."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from local_platform.cluster.crds import GATEWAY_API_CRDS
from local_platform.cluster.decoding import decode, decode_error, strict_errors
from local_platform.cluster.defaults import apply_defaults
from local_platform.cluster.quantity import QuantityError, canonical
from local_platform.cluster.schema import Schema
from local_platform.cluster.validation import invalid


@pytest.fixture(autouse=True)
def gateway_api() -> None:
    for definition in GATEWAY_API_CRDS:
        Schema.add_custom(definition)


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec},
    }


def route(*backends: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "n"},
        "spec": {"rules": [{"backendRefs": list(backends)}]},
    }


def messages(obj: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, str]:
    return {one.field: one.message for one in invalid(apply_defaults(decode(obj)), old)}


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("128Mi", "128Mi"),
        ("1500Mi", "1500Mi"),
        (2, "2"),
        ("0", "0"),
        ("1e3", "1e3"),
    ],
    ids=str,
)
def test_quantities_are_stored_in_their_canonical_form(text: Any, stored: str) -> None:
    assert canonical(text) == stored


def test_a_text_that_is_no_quantity_is_refused() -> None:
    with pytest.raises(QuantityError, match="must match the regular expression"):
        canonical("12 apples")


def test_an_unknown_field_is_named_by_strict_decoding_and_dropped_otherwise() -> None:
    obj = pod(containerz=[])
    obj["spec"]["containers"][0]["comand"] = ["x"]
    assert strict_errors(obj) == [
        'unknown field "spec.containers[0].comand"',
        'unknown field "spec.containerz"',
    ]
    assert decode(obj) == pod()


def test_a_wrong_type_is_reported_in_the_decoders_words() -> None:
    assert decode_error(pod(terminationGracePeriodSeconds="soon")) == (
        "json: cannot unmarshal string into Go struct field "
        "PodSpec.spec.terminationGracePeriodSeconds of type int64"
    )


def test_a_valid_pod_has_no_causes() -> None:
    assert messages(pod()) == {}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        pytest.param({"containers": []}, "spec.containers", "Required value", id="no container"),
        pytest.param(
            {"containers": [{"name": "c"}]}, "spec.containers[0].image", "Required value", id="no image"
        ),
        pytest.param(
            {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 70000}]}]},
            "spec.containers[0].ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
            id="port out of range",
        ),
        pytest.param(
            {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "v"',
            id="mount of no volume",
        ),
        pytest.param(
            {
                "containers": [
                    {
                        "name": "c",
                        "image": "i",
                        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
                    }
                ]
            },
            "spec.containers[0].resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
            id="request over the limit",
        ),
        pytest.param(
            {"restartPolicy": "Sometimes"},
            "spec.restartPolicy",
            'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
            id="unknown restart policy",
        ),
    ],
)
def test_an_invalid_pod_is_refused_with_the_field(spec: dict[str, Any], field: str, message: str) -> None:
    assert messages(pod(**spec))[field] == message


def test_a_pod_may_change_its_image_and_nothing_of_its_command() -> None:
    old = apply_defaults(decode(pod()))
    new_image, new_command = copy.deepcopy(old), copy.deepcopy(old)
    new_image["spec"]["containers"][0]["image"] = "i:2"
    new_command["spec"]["containers"][0]["command"] = ["x"]
    assert invalid(new_image, old) == []
    (cause,) = invalid(new_command, old)
    assert cause.message.startswith("Forbidden: pod updates may not change fields other than")


def test_an_httproute_gets_the_defaults_of_its_definition() -> None:
    spec = apply_defaults(decode(route({"name": "blue", "port": 80})))["spec"]
    assert spec["rules"][0]["backendRefs"] == [
        {"group": "", "kind": "Service", "name": "blue", "port": 80, "weight": 1}
    ]
    assert spec["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]


@pytest.mark.parametrize(
    ("backend", "field", "message"),
    [
        pytest.param(
            {"name": "b", "weight": -1},
            "spec.rules[0].backendRefs[0].weight",
            "Invalid value: -1: spec.rules[0].backendRefs[0].weight in body "
            "should be greater than or equal to 0",
            id="negative weight",
        ),
        pytest.param({"port": 80}, "spec.rules[0].backendRefs[0].name", "Required value", id="no name"),
    ],
)
def test_an_invalid_httproute_is_refused_with_the_field(
    backend: dict[str, Any], field: str, message: str
) -> None:
    assert messages(route(backend))[field] == message
