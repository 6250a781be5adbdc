"""What every promotion DAG is made of, so that `dags/promotion.py` holds nothing but the way of a release."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Asset, Param

from platform_ops import wiring
from platform_ops.catalog.models import ENVIRONMENTS

from . import paging, way
from .branch import branch_asset, promoted_asset

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def promotions() -> Iterator[tuple[str, str]]:
    """Every service and environment of the last valid catalog, in its order. No network."""
    for service in wiring.catalog().services:
        for environment in ENVIRONMENTS:
            yield service, environment


def promotion_dag(service: str, environment: str, doc: str | None) -> DAG:
    """`promote_<service>_<environment>`: one run at a time; a failed step is retried only where that
    helps."""
    return DAG(
        dag_id=f"promote_{service}_{environment}",
        dag_display_name=f"Promote {service} to {environment}",
        description=f"A release of {service} goes to {environment}.",
        doc_md=doc,
        start_date=BEGINNING,
        schedule=_starts_with(service, environment),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=["promotion", service, environment],
        default_args={
            "owner": "platform-ops",
            "retries": 2,
            "retry_delay": timedelta(seconds=5),
            "on_failure_callback": paging.page_failed_task,
        },
        on_failure_callback=paging.page_failed_run,
        params={"release": _release_param(service, environment)},
    )


def _starts_with(service: str, environment: str) -> list[Asset] | None:
    if way.starts_by_hand(environment):
        return None
    if way.builds(environment):
        branch = wiring.catalog().environment(service, environment).branch
        return [branch_asset(service, environment, branch)]
    return [promoted_asset(service, way.environment_before(environment))]


def _release_param(service: str, environment: str) -> Param:
    if way.builds(environment):
        branch = wiring.catalog().environment(service, environment).branch
        empty = f"the newest commit of branch `{branch}`"
    else:
        empty = f"the newest release that {way.environment_before(environment)} has verified"
    return Param(
        None,
        type=["null", "string"],
        title="Release",
        description=f"Leave empty for {empty}; or its name, such as `1.4.0-0a1b2c3d`, or its digest.",
    )
