"""The manifest templates give valid objects, named and labelled as router, gateway and people expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from local_platform.cluster.crds import GATEWAY_API_CRDS
from platform_ops.adapters.manifests import render

FOLDER = Path(__file__).parents[2] / "include/config/manifests"
VALUES: dict[str, str | int | list[str]] = {
    "service": "llm-service",
    "namespace": "llm-service-prod",
    "environment": "production",
    "colour": "green",
    "image": "ghcr.io/platform/llm-service@sha256:" + "0" * 64,
    "replicas": 3,
    "cpu_request": "250m",
    "cpu_limit": 2,
    "memory_request": "512Mi",
    "memory_limit": "1Gi",
    "host": "api.llm-service.example.com",
    "gateway": "gateway",
    "gateway_namespace": "platform-ops",
    "blue_weight": 95,
    "green_weight": 5,
    "api_keys": "one,two",
    "job": "llm-service-migrate-000000000000",
    "command": ["python3", "-m", "service.migrate"],
    "deadline_seconds": 300,
}


def objects(name: str) -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in render(FOLDER / f"{name}.yaml", VALUES)}


@pytest.mark.parametrize("name", ["namespace", "secret", "service", "colour", "migration"])
def test_a_template_is_valid_in_the_strict_schema_of_kubernetes(name: str) -> None:
    for document in objects(name).values():
        kubernetes_validate.validate(document, "1.36", strict=True)


@pytest.mark.parametrize("name", ["route", "route-service"])
def test_the_route_is_valid_in_the_schema_of_the_gateway_api(name: str) -> None:
    (crd,) = (crd for crd in GATEWAY_API_CRDS if crd["spec"]["names"]["kind"] == "HTTPRoute")
    (schema,) = (v["schema"]["openAPIV3Schema"] for v in crd["spec"]["versions"] if v["name"] == "v1")
    jsonschema.validate(objects(name)["HTTPRoute"], schema)


def test_everything_of_a_colour_carries_its_name_and_labels() -> None:
    for document in objects("colour").values():
        metadata = document["metadata"]
        assert (metadata["name"], metadata["namespace"]) == ("llm-service-green", "llm-service-prod")
        assert (metadata["labels"]["app"], metadata["labels"]["version"]) == ("llm-service", "green")


def test_the_services_select_the_pods_of_the_deployment() -> None:
    labels = objects("colour")["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for name in ("colour", "service"):
        assert objects(name)["Service"]["spec"]["selector"].items() <= labels.items()


def test_a_pod_has_no_rights_that_it_does_not_need() -> None:
    pod = objects("colour")["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_pod_binds_its_own_address_and_is_given_time_to_drain() -> None:
    pod = objects("colour")["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == ["serve", "--host", "$(POD_IP)", "--port", "8000"]
    assert container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    assert pod["terminationGracePeriodSeconds"] == 30


def test_the_route_reaches_a_colour_by_header_and_shares_the_rest_by_weight() -> None:
    rules = objects("route")["HTTPRoute"]["spec"]["rules"]
    by_header = [
        (rule["matches"][0]["headers"][0]["value"], [ref["name"] for ref in rule["backendRefs"]])
        for rule in rules[:2]
    ]
    assert by_header == [("blue", ["llm-service-blue"]), ("green", ["llm-service-green"])]
    assert [(ref["name"], ref["weight"]) for ref in rules[2]["backendRefs"]] == [
        ("llm-service-blue", 95),
        ("llm-service-green", 5),
    ]


def test_every_backend_says_in_the_response_which_colour_it_is() -> None:
    for rule in objects("route")["HTTPRoute"]["spec"]["rules"]:
        for ref in rule["backendRefs"]:
            (added,) = ref["filters"][0]["responseHeaderModifier"]["set"]
            assert f"llm-service-{added['value']}" == ref["name"]
            assert added["name"] == "x-platform-colour"


def test_every_placeholder_is_in_the_table_of_the_folders_readme() -> None:
    table = (FOLDER / "README.md").read_text()
    for name in VALUES:
        assert f"`{name}`" in table
