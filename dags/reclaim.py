"""
# Reclaim

Removes the old colour of a service once its warm window is over. The controller does that by itself; this DAG
is for whoever does not want to wait for it, or wants to see why it is still there.

1. **reclaim**: refused before the end of the window, with the time. After it, the new colour must be ready at
   full size, without a breached trigger, and pass its checks once more on the way that users come
"""

from __future__ import annotations

from airflow.sdk import DAG

from platform_ops.orchestration import paging
from platform_ops.orchestration.rollout import ReclaimOperator
from platform_ops.orchestration.service_dag import promotions, reclaim_dag


def reclaim(service: str, environment: str) -> DAG:
    where = {"service": service, "environment": environment}
    with reclaim_dag(**where, doc=__doc__) as dag:
        task = ReclaimOperator(task_id="reclaim", **where)
        paging.page_when_anything_fails(task, **where)
    return dag


for _service, _environment in promotions():
    _dag = reclaim(_service, _environment)
    globals()[_dag.dag_id] = _dag
