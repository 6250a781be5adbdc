"""`analyzer/deploy` is what the promotion applies for llm-service, and Kubernetes accepts all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from platform_ops.adapters.manifests import Manifests, render
from platform_ops.catalog.load import load
from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.core.release import Colour, Weights

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "analyzer" / "deploy"
CATALOG = load(ROOT / "include" / "config" / "services.yaml")
MANIFESTS = Manifests(ROOT / "include" / "config" / "manifests", CATALOG)
SUFFIXES = list(zip(("dev", "staging", "prod"), ENVIRONMENTS, strict=True))
IMAGE = "ghcr.io/platform/llm-service@sha256:" + "0" * 64
SECRETS: dict[str, str | int] = dict.fromkeys(
    ("api_keys", "admin_keys", "fingerprint_key", "database_url", "redis_url", "database_owner_url"), "given"
)


def applied(environment: str) -> Iterator[dict[str, Any]]:
    """What a first release applies."""
    target = CATALOG.target("llm-service", environment)
    for colour in Colour:
        yield from (dict(one) for one in MANIFESTS.colour(target, colour, IMAGE))
    yield dict(MANIFESTS.service(target, Colour.BLUE))
    yield dict(MANIFESTS.route(target, Weights(100, 0)))


def once(suffix: str, environment: str) -> Iterator[dict[str, Any]]:
    """What an environment has before its first release."""
    yield from yaml.safe_load_all((DEPLOY / f"rbac-{suffix}.yaml").read_text(encoding="utf-8"))
    names: dict[str, str | int] = {
        "service": "llm-service", "namespace": f"llm-service-{suffix}", "environment": environment,
    }  # fmt: skip
    yield from render(DEPLOY / "secret.yaml", names | SECRETS)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_the_promotion_applies_is_valid_in_the_strict_schemas(environment: str) -> None:
    kinds = set()
    for document in applied(environment):
        kinds.add(document["kind"])
        if document["kind"] != "HTTPRoute":  # a custom resource: its own schema is tested with the templates
            kubernetes_validate.validate(document, "1.36", strict=True)
    assert kinds == {
        "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget",
        "Service", "ServiceAccount",
    }  # fmt: skip


@pytest.mark.parametrize(("suffix", "environment"), SUFFIXES)
def test_each_environment_has_namespace_rights_and_secret(suffix: str, environment: str) -> None:
    documents = list(once(suffix, environment))
    for document in documents:
        kubernetes_validate.validate(document, "1.36", strict=True)
        assert document["metadata"]["labels"]["platform-ops.io/environment"] == environment
    assert [one["kind"] for one in documents] == [
        "Namespace", "RoleBinding", "Role", "RoleBinding", "Secret", "Secret",
    ]  # fmt: skip
    assert documents[0]["metadata"]["name"] == CATALOG.target("llm-service", environment).namespace


def test_the_environments_differ_by_their_names_alone() -> None:
    first, *others = (
        text.replace(f"llm-service-{suffix}\n", "")
        .replace(f"{environment}\n", "")
        .replace(f"# {environment}:", "")
        for suffix, environment in SUFFIXES
        for text in [(DEPLOY / f"rbac-{suffix}.yaml").read_text(encoding="utf-8")]
    )
    assert others == [first, first]


def test_people_who_look_see_no_secrets() -> None:
    (role,) = (one for one in once("prod", "production") if one["kind"] == "Role")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert "secrets" not in {resource for rule in role["rules"] for resource in rule["resources"]}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_autoscaler_begins_where_the_rollout_does(environment: str) -> None:
    documents = list(applied(environment))
    deployments = {one["metadata"]["name"]: one for one in documents if one["kind"] == "Deployment"}
    scalers = [one["spec"] for one in documents if one["kind"] == "HorizontalPodAutoscaler"]
    assert {one["scaleTargetRef"]["name"] for one in scalers} == set(deployments)
    for one in scalers:
        deployment = deployments[one["scaleTargetRef"]["name"]]
        assert one["minReplicas"] == deployment["spec"]["replicas"] <= one["maxReplicas"] == 10


def test_the_policy_lets_the_services_port_in_and_selects_the_pods() -> None:
    documents = list(applied("production"))
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in documents if one["kind"] == "Deployment"]
    policies = [one["spec"] for one in documents if one["kind"] == "NetworkPolicy"]
    for labels, policy in zip(pods, policies, strict=True):
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
        assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8000}]}]


def test_resources_are_those_of_the_guide() -> None:
    for document in applied("production"):
        if document["kind"] == "Deployment":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            assert container["resources"] == {
                "requests": {"cpu": "250m", "memory": "512Mi"},
                "limits": {"cpu": "500m", "memory": "1Gi"},
            }


def test_the_migration_is_a_job_of_the_releases_own_image_with_a_secret_of_its_own() -> None:
    migration = MANIFESTS.migration(CATALOG.target("llm-service", "production"), IMAGE)
    assert migration is not None
    account, job = (dict(one) for one in migration.manifests)
    for document in (account, job):
        kubernetes_validate.validate(document, "1.36", strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert job["metadata"]["name"] == migration.job == "llm-service-migrate-" + "0" * 12
    assert container["image"] == IMAGE
    assert container["command"] == ["python3", "-m", "analyzer.storage.migrate"]
    assert job["spec"]["activeDeadlineSeconds"] == migration.deadline.total_seconds() == 300
    assert pod["serviceAccountName"] == account["metadata"]["name"] == "llm-service-migration"
    assert container["envFrom"][1]["secretRef"]["name"] == "llm-service-migration"


def test_no_service_sends_a_request_to_the_pod_of_a_migration() -> None:
    target = CATALOG.target("llm-service", "production")
    migration = MANIFESTS.migration(target, IMAGE)
    assert migration is not None
    labels = migration.manifests[1]["spec"]["template"]["metadata"]["labels"]
    services = [one for one in applied("production") if one["kind"] == "Service"]
    assert services
    for service in services:
        assert not service["spec"]["selector"].items() <= labels.items()


def test_every_pod_of_a_release_runs_its_digest() -> None:
    target = CATALOG.target("llm-service", "production")
    migration = MANIFESTS.migration(target, IMAGE)
    assert migration is not None
    pods = [
        one["spec"]["template"]["spec"]
        for one in (*applied("production"), *migration.manifests)
        if "template" in one.get("spec", {})
    ]
    assert len(pods) == 3
    assert {container["image"] for pod in pods for container in pod["containers"]} == {IMAGE}


def test_a_service_without_schema_has_no_migration() -> None:
    assert MANIFESTS.migration(CATALOG.target("fm-llm-solver", "production"), IMAGE) is None


def test_a_service_that_names_no_folder_takes_the_common_templates() -> None:
    target = CATALOG.target("fm-llm-solver", "production")
    kinds = {one["kind"] for one in MANIFESTS.colour(target, Colour.BLUE, IMAGE)}
    assert "HorizontalPodAutoscaler" not in kinds
