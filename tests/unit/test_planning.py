"""From the catalog to plan and manifests: what the controller is given is what the catalog says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes_outside import MemoryImages

from platform_ops.adapters.manifests import Manifests, render
from platform_ops.catalog.load import load, load_text
from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.controller.planning import rollout_plan, rollout_request
from platform_ops.core.errors import GateClosed, PermanentError
from platform_ops.core.plan import Plan
from platform_ops.core.records import Promotion
from platform_ops.core.release import Colour, Router, Weights
from platform_ops.core.triggers import default_triggers

ROOT = Path(__file__).parents[2]
CATALOG = load(ROOT / "include" / "config" / "services.yaml")
MANIFESTS = Manifests(ROOT / "include" / "config" / "manifests", CATALOG)
DIGEST = "sha256:" + "a" * 64


def promotion(digest: str | None = DIGEST) -> Promotion:
    return Promotion(
        id="00000000-0000-0000-0000-000000000001",
        dag_id="promote_llm-service_production",
        run_id="manual",
        service="llm-service",
        environment="production",
        commit="c" * 40,
        version="1.0.0",
        digest=digest,
        requested_by="developer",
        url="http://airflow/run",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_production_goes_in_steps_and_the_bake_watches_the_last() -> None:
    plan = rollout_plan(CATALOG, "llm-service", "production")
    assert [(step.weight, step.hold) for step in plan.steps] == [
        (5, timedelta(minutes=2)),
        (25, timedelta(minutes=2)),
        (50, timedelta(minutes=2)),
        (100, timedelta(0)),
    ]
    assert (plan.bake, plan.warm, plan.replicas) == (timedelta(minutes=5), timedelta(days=1), 3)
    assert plan.page_channel == "#llm-service-alerts"


def test_staging_switches_once_and_development_is_not_watched() -> None:
    staging, development = (rollout_plan(CATALOG, "llm-service", name) for name in ("staging", "development"))
    assert [step.weight for step in staging.steps] == [100]
    assert staging.bake == timedelta(minutes=5)
    assert (development.bake, development.warm, development.triggers) == (timedelta(0), timedelta(0), ())


def test_triggers_that_nobody_states_are_the_cores_defaults() -> None:
    assert rollout_plan(CATALOG, "llm-service", "production").triggers == default_triggers()


def test_behind_a_service_the_triggers_count_its_one_backend_too() -> None:
    text = (ROOT / "include" / "config" / "services.yaml").read_text(encoding="utf-8")
    staging = "        url: https://staging.api.llm-service.example.com\n"
    strategy = "        strategy: {kind: blue_green_switch, router: service}\n"
    catalog = load_text(text.replace(staging, staging + strategy))
    assert catalog.target("llm-service", "staging").router is Router.SERVICE
    for trigger in rollout_plan(catalog, "llm-service", "staging").triggers:
        for expression in (trigger.expression, trigger.count):
            # Probes and memory are the pods' own: they have a colour whatever the gateway counts.
            assert ("$service(-$colour)?/" in expression) is ("envoy_" in expression)
            assert "$service-$colour/" not in expression.replace("$service(-$colour)?/", "")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("service", list(CATALOG.services))
def test_a_plan_survives_the_ledger_unchanged(service: str, environment: str) -> None:
    plan = rollout_plan(CATALOG, service, environment)
    assert Plan.from_json(plan.to_json()) == plan


def test_a_plan_names_the_variable_of_a_secret_and_never_its_value() -> None:
    plan = rollout_plan(CATALOG, "llm-service", "production")
    headers = [check.headers for check in plan.checks if check.headers]
    assert headers == [{"X-API-KEY": "env:PLATFORM_OPS_CHECK_KEY_LLM_SERVICE_PRODUCTION"}]


def test_a_request_holds_both_colours_with_the_digest_of_the_promotion() -> None:
    request = rollout_request(CATALOG, promotion(), MemoryImages(), MANIFESTS)
    assert set(request.manifests) == set(Colour)
    for colour, manifests in request.manifests.items():
        deployment = next(one for one in manifests if one["kind"] == "Deployment")
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        assert deployment["metadata"]["name"] == f"llm-service-{colour}"
        assert deployment["spec"]["replicas"] == 3
        assert container["image"] == f"registry.example.com/llm-service@{DIGEST}"
        assert container["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}


def test_what_is_not_built_cannot_be_asked_for() -> None:
    with pytest.raises(GateClosed, match="not built yet"):
        rollout_request(CATALOG, promotion(digest=None), MemoryImages(), MANIFESTS)


def test_the_route_shares_by_weight_and_names_the_colour_that_served() -> None:
    target = CATALOG.target("llm-service", "production")
    route = MANIFESTS.route(target, Weights(95, 5))
    shared = route["spec"]["rules"][-1]["backendRefs"]
    assert [(one["name"], one["weight"]) for one in shared] == [
        ("llm-service-blue", 95),
        ("llm-service-green", 5),
    ]
    assert route["spec"]["hostnames"] == ["api.llm-service.example.com"]


def test_a_value_cannot_change_the_structure_of_a_manifest(tmp_path: Path) -> None:
    template = tmp_path / "one.yaml"
    template.write_text("name: ${name}\ntext: 'say $$(POD_IP) and ${name}'\ncount: ${count}\n")
    (document,) = render(template, {"name": "a\nevil: true", "count": 3})
    assert document == {"name": "a\nevil: true", "text": "say $(POD_IP) and a\nevil: true", "count": 3}


def test_a_placeholder_without_value_is_named(tmp_path: Path) -> None:
    template = tmp_path / "one.yaml"
    template.write_text("name: ${nmae}\n")
    with pytest.raises(PermanentError, match="placeholder 'nmae'"):
        list(render(template, {"name": "web"}))
