"""What the DAGs of a service are made of, so that the files in `dags/` hold nothing but the sequence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, Param
from airflow.sdk.definitions.param import ParamsDict

from platform_ops import wiring
from platform_ops.catalog import way
from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.core.hotfix import KIND
from platform_ops.core.hotfix import hotfix_dag as dag_of_hotfix

from . import paging
from .branch import branch_asset, promoted_asset

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def promotions() -> Iterator[tuple[str, str]]:
    """Every service and environment of the last valid catalog, in its order. No network."""
    for service in wiring.catalog().services:
        for environment in ENVIRONMENTS:
            yield service, environment


def promotion_dag(service: str, environment: str, doc: str | None) -> AbstractContextManager[DAG]:
    """`promote_<service>_<environment>`: one run at a time."""
    return _dag(
        "promote",
        service,
        environment,
        dag_display_name=f"Promote {service} to {environment}",
        description=f"A release of {service} goes to {environment}.",
        doc_md=doc,
        schedule=_starts_with(service, environment),
        params={"release": _release_param(service, environment), "fixes": _fixes_param()},
    )


def rollback_dag(service: str, environment: str, doc: str | None) -> AbstractContextManager[DAG]:
    """`rollback_<service>_<environment>`: started by a person, or by the controller to tell of its own."""
    reason = _text("Reason", "For the journal: why you go back.")
    earlier = Param(
        None,
        type=["null", "string"],
        title="To",
        description="Leave empty for the version before, within its warm window; or the name or digest of an "
        "earlier release that served here, such as `1.4.0-0a1b2c3d`.",
    )
    return _dag(
        "rollback",
        service,
        environment,
        dag_display_name=f"Roll back {service} in {environment}",
        description=f"Traffic of {service} in {environment} goes back to the version before.",
        doc_md=doc,
        schedule=None,
        params={"to": earlier, "reason": reason},
    )


def reclaim_dag(service: str, environment: str, doc: str | None) -> AbstractContextManager[DAG]:
    """`reclaim_<service>_<environment>`: started by a person."""
    return _dag(
        "reclaim",
        service,
        environment,
        dag_display_name=f"Reclaim the old colour of {service} in {environment}",
        description=f"The old colour of {service} in {environment} goes, once its warm window is over.",
        doc_md=doc,
        schedule=None,
    )


def hotfixes() -> Iterator[tuple[str, str]]:
    """Every service of the last valid catalog, with the environment that a hotfix goes to."""
    for service in wiring.catalog().services:
        yield service, ENVIRONMENTS[-1]


def hotfix_dag(service: str, environment: str, doc: str | None) -> AbstractContextManager[DAG]:
    """`hotfix_<service>`: started by a person, who says why."""
    branch = wiring.catalog().environment(service, environment).branch
    return _dag(
        KIND,
        service,
        environment,
        dag_id=dag_of_hotfix(service),
        dag_display_name=f"Hotfix of {service}",
        description=f"A commit of {service} goes straight to {environment}.",
        doc_md=doc,
        schedule=None,
        params={
            "commit": _text(
                "Branch or commit",
                f"Such as `hotfix/login`, or a full commit id. It must come of `{branch}`.",
            ),
            "why": _text("Reason", "For the approvers, the journal and the page of whoever is pre-empted."),
            "incident": _text("Incident", "What it repairs, if that has a name."),
        },
    )


@contextmanager
def _dag(
    verb: str,
    service: str,
    environment: str,
    *,
    dag_id: str = "",
    params: Mapping[str, Param] | None = None,
    **options: Any,
) -> Iterator[DAG]:
    """A failed step is retried only where that helps; whatever fails is paged.

    The form comes last: a DAG that has one gives each of its tasks a copy, which is validated again and again
    while the DAG is serialised. A run merges the DAG's form into what its tasks see in either case.
    """
    dag = DAG(
        dag_id=dag_id or f"{verb}_{service}_{environment}",
        start_date=BEGINNING,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        tags=[verb, service, environment],
        default_args={
            "owner": "platform-ops",
            "retries": 2,
            "retry_delay": timedelta(seconds=5),
            "on_failure_callback": paging.page_failed_task,
        },
        on_failure_callback=paging.page_failed_run,
        **options,
    )
    with dag:
        yield dag
    dag.params = ParamsDict(dict(params or {}))


def _text(title: str, description: str) -> Param:
    return Param("", type="string", title=title, description=description)


def _starts_with(service: str, environment: str) -> list[Asset] | None:
    if way.starts_by_hand(environment):
        return None
    if way.builds(environment):
        branch = wiring.catalog().environment(service, environment).branch
        return [branch_asset(service, environment, branch)]
    return [promoted_asset(service, way.environment_before(environment))]


def _fixes_param() -> Param:
    return Param(
        "",
        type="string",
        title="Fixes",
        description="Open incidents whose cause this release removes, such as `INC-7`: it is let in although "
        "they are open, and whoever votes reads it.",
    )


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
