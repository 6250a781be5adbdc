"""Applies a profile: the same catalog, scaled to a place that is not the real one."""

from __future__ import annotations

from datetime import timedelta

from platform_ops.core.errors import NotFound

from .fields import quantity_value
from .models import (
    ENVIRONMENTS,
    Amount,
    Approvals,
    Catalog,
    Environment,
    ProductionApprovals,
    Profile,
    Resources,
    Service,
)
from .names import unknown
from .strategy import Direct


def with_profile(catalog: Catalog, name: str) -> Catalog:
    """The catalog scaled by the profile `name`; an empty name changes nothing. NotFound lists them."""
    if not name:
        return catalog
    if name not in catalog.profiles:
        raise NotFound(unknown("profile", name, tuple(catalog.profiles)))
    profile = catalog.profiles[name]
    services = {key: _service(service, profile) for key, service in catalog.services.items()}
    return catalog.model_copy(update={"services": services})


def _service(service: Service, profile: Profile) -> Service:
    scaled = {name: _environment(service.environment(name), profile) for name in ENVIRONMENTS}
    return service.model_copy(update={"environments": service.environments.model_copy(update=scaled)})


def _environment(entry: Environment, profile: Profile) -> Environment:
    approvals = _sooner(entry.approvals, profile)
    strategy = entry.strategy
    if not isinstance(strategy, Direct):
        strategy = strategy.model_copy(
            update={
                "bake": _scaled(strategy.bake, profile.bake),
                "warm": _scaled(strategy.warm, profile.warm),
            }
        )
    return entry.model_copy(
        update={
            "approvals": approvals,
            "strategy": strategy,
            "replicas": min(entry.replicas, profile.max_replicas),
            "resources": Resources(
                requests=_capped(entry.resources.requests, profile),
                limits=_capped(entry.resources.limits, profile),
            ),
        }
    )


def _sooner(approvals: Approvals, profile: Profile) -> Approvals:
    changes: dict[str, object] = {"wait_timer": _scaled(approvals.wait_timer, profile.wait_timer)}
    if isinstance(approvals, ProductionApprovals):
        wait = _scaled(approvals.hotfix.wait_timer, profile.wait_timer)
        changes["hotfix"] = approvals.hotfix.model_copy(update={"wait_timer": wait})
    return approvals.model_copy(update=changes)


def _scaled(duration: timedelta, factor: float) -> timedelta:
    return timedelta(seconds=round((duration * factor).total_seconds(), 1))


def _capped(amount: Amount, profile: Profile) -> Amount:
    return Amount(
        cpu=min(amount.cpu, profile.max_cpu, key=quantity_value),
        memory=min(amount.memory, profile.max_memory, key=quantity_value),
    )
