"""From the catalog to what the controller follows: the plan and the request of one rollout."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from platform_ops.adapters.manifests import Manifests
from platform_ops.adapters.probe import SECRET_PREFIX
from platform_ops.catalog import models
from platform_ops.catalog.models import Catalog
from platform_ops.catalog.rollback import CustomTrigger, RollbackTrigger, RollbackTriggers
from platform_ops.catalog.strategy import Direct, Gradual, Strategy
from platform_ops.core.plan import Check, OnInsufficientSamples, Plan, Step
from platform_ops.core.ports import Images
from platform_ops.core.records import Promotion
from platform_ops.core.release import Colour, Router
from platform_ops.core.triggers import (
    SLOW_SHARE,
    Comparison,
    Kind,
    OnNoData,
    Sample,
    Trigger,
    error_rate,
    fast_burn,
    health_checks,
    latency,
    memory,
    slower_than,
)

from .views import RolloutRequest

_NOTHING = timedelta(0)
_BACKEND, _EITHER = "$service-$colour/", "$service(-$colour)?/"
"""The gateway's name of a colour's backend, and a pattern that is the Service's, too."""


def rollout_request(
    catalog: Catalog, promotion: Promotion, images: Images, manifests: Manifests
) -> RolloutRequest:
    """What the controller is asked for. Raises GateClosed before the promotion's image was built."""
    target = catalog.target(promotion.service, promotion.environment)
    release = promotion.release
    image = images.reference(promotion.service, release.digest)
    return RolloutRequest(
        dag_id=promotion.dag_id,
        run_id=promotion.run_id,
        promotion_id=promotion.id,
        target=target,
        release=release,
        plan=replace(
            rollout_plan(catalog, promotion.service, promotion.environment),
            migration=manifests.migration(target, image),
        ),
        manifests={colour: manifests.colour(target, colour, image) for colour in Colour},
        requested_by=promotion.requested_by,
        log_url=promotion.url,
    )


def rollout_plan(catalog: Catalog, service: str, environment: str) -> Plan:
    """The plan of a rollout there. It is kept in the ledger: a later edit of the catalog changes nothing."""
    entry = catalog.environment(service, environment)
    strategy = entry.strategy
    watched = not isinstance(strategy, Direct)
    return Plan(
        replicas=entry.replicas,
        steps=_steps(strategy),
        bake=strategy.bake if not isinstance(strategy, Direct) else _NOTHING,
        warm=strategy.warm if not isinstance(strategy, Direct) else _NOTHING,
        deploy_deadline=strategy.deploy_deadline,
        triggers=_triggers(entry.rollback, Router(strategy.router)) if watched else (),
        checks=tuple(_check(check) for check in entry.checks),
        manifests=(),
        on_insufficient_samples=OnInsufficientSamples(entry.on_insufficient_samples.policy),
        extension=entry.on_insufficient_samples.extend_at_most,
        page_channel=catalog.service(service).pages.slack,
    )


def _steps(strategy: Strategy) -> tuple[Step, ...]:
    """The last step is watched by the bake that follows it."""
    if not isinstance(strategy, Gradual):
        return (Step(100, _NOTHING),)
    return tuple(
        Step(weight, strategy.step_hold if weight < 100 else _NOTHING) for weight in strategy.weights
    )


def _triggers(rules: RollbackTriggers, router: Router) -> tuple[Trigger, ...]:
    slow = rules.latency
    of_latency = replace(_stated(latency(slow.threshold), slow), threshold=SLOW_SHARE)
    if not slow.query:
        of_latency = replace(of_latency, expression=slower_than(slow.threshold))
    found = (
        _stated(error_rate(), rules.error_rate),
        of_latency,
        _stated(health_checks(), rules.health_checks),
        _stated(memory(), rules.memory),
        _stated(fast_burn(), rules.fast_burn),
        *(_custom(name, rule) for name, rule in sorted(rules.custom.items())),
    )
    return tuple(_on_one_backend(one) for one in found) if router is Router.SERVICE else found


def _on_one_backend(trigger: Trigger) -> Trigger:
    """Behind a Service's selector the gateway counts one backend, whichever colour answers. All of it is the
    new colour's from the switch on, and what is judged begins there."""
    both = {name: getattr(trigger, name).replace(_BACKEND, _EITHER) for name in ("expression", "count")}
    return replace(trigger, **both)


def _stated(rule: Trigger, entry: RollbackTrigger) -> Trigger:
    """The rule with everything that the catalog says about it."""
    return replace(
        rule,
        expression=entry.query,
        count=entry.count,
        threshold=entry.threshold,
        comparison=Comparison(entry.comparison),
        sustained=entry.sustained,
        minimum_samples=entry.minimum_sample,
        on_no_data=OnNoData(entry.on_no_data),
    )


def _custom(name: str, entry: CustomTrigger) -> Trigger:
    rule = Trigger(
        name,
        Kind(entry.kind),
        entry.query,
        entry.count,
        entry.threshold,
        entry.sustained,
        entry.minimum_sample,
        sample=Sample(entry.sample),
        independent=entry.independent,
        events="events",
        defect="count",
    )
    return _stated(rule, entry)


def _check(check: models.Check) -> Check:
    return Check(
        path=check.path,
        method=check.method,
        body=json.dumps(check.body) if check.body is not None else "",
        headers={header: f"{SECRET_PREFIX}{name}" for header, name in check.secret_headers.items()},
        status=check.status,
        contains=check.contains,
        timeout=check.timeout,
    )
