"""
# Catalog check

Shows what is wrong with the service catalog. The other DAGs are made from the last valid catalog, so that
a typo
stops no running rollout; this file alone fails to parse, with every problem as `file:line: key: problem`.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from platform_ops import wiring
from platform_ops.orchestration.service_dag import BEGINNING

wiring.require_valid_catalog()


@dag(
    dag_id="catalog_check",
    description="The service catalog is valid.",
    doc_md=__doc__,
    start_date=BEGINNING,
    schedule="@hourly",
    catchup=False,
    is_paused_upon_creation=False,
    tags=["catalog"],
    default_args={"owner": "platform-ops", "retries": 0},
)
def catalog_check() -> None:
    @task
    def check() -> None:
        """Read the catalog again: the file may have changed since the DAG was parsed."""
        wiring.require_valid_catalog()

    check()


catalog_check()
