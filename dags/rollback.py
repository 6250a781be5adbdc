"""
# Rollback

Takes the traffic of a service back to the version before, within the warm window; or, with the field *To*, to
an earlier release that served here.

1. **roll back**: the controller makes sure that the old colour is ready and large enough, moves all traffic,
   sees it in real responses, and runs the old version's checks. An earlier release is deployed first, and
   checked before all traffic goes to it at once

A run named `controller__…` was started by the controller: it went back by itself in the warm window, after a
trigger was breached. Such a run only tells of that rollback and is always red.

Going back to a digest that was approved and served here never waits for a vote. Without Airflow:
`ops rollback`.
"""

from __future__ import annotations

from airflow.sdk import DAG

from platform_ops.orchestration import paging
from platform_ops.orchestration.rollout import RollBackOperator
from platform_ops.orchestration.service_dag import promotions, rollback_dag


def rollback(service: str, environment: str) -> DAG:
    where = {"service": service, "environment": environment}
    with rollback_dag(**where, doc=__doc__) as dag:
        roll_back = RollBackOperator(task_id="roll_back", **where)
        paging.page_when_anything_fails(roll_back, **where)
    return dag


for _service, _environment in promotions():
    _dag = rollback(_service, _environment)
    globals()[_dag.dag_id] = _dag
