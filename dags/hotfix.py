"""
# Hotfix

Takes one commit straight into production, when there is no time for the way through development and staging.
A person starts it, with the branch or the commit, and the reason.

1. **resolve**: the commit, which must come of the head of production's branch
2. **admit**: what would refuse a promotion (a freeze window, an incident, staging) is noted, and waived
3. **check source**, **verify signatures** and the **gates** of production: as in every promotion
4. **build**: the image is built here, once
5. **check image**: the digest is in the registry, whole, of this commit, and not root's
6. **approve**: the hotfix's own rule of the catalog; nobody approves what they asked for or wrote
7. **pre-empt**: a promotion that is on its way finishes its shift and goes back; its run ends red
8. **deploy preview**, **verify**, **roll out**, **verify active**: as in every promotion
9. **record**: the hotfix is what production runs
10. **merge**: production's branch gets a signed merge of the commit that was built, and a version

Until development and staging hold the commit, too, a follow-up stays open: `ops status` and `ops audit` list
it, one page asks for it, and production takes no release without the hotfix.
"""

from __future__ import annotations

from airflow.sdk import DAG

from platform_ops.core.rollout import Phase
from platform_ops.orchestration import hotfix as steps
from platform_ops.orchestration import paging, promotion
from platform_ops.orchestration.approval import approve
from platform_ops.orchestration.gate import source_gates
from platform_ops.orchestration.releasing import PATIENT
from platform_ops.orchestration.rollout import RolloutOperator, VerifyActiveOperator
from platform_ops.orchestration.service_dag import hotfix_dag, hotfixes
from platform_ops.orchestration.signatures import verify_signatures
from platform_ops.orchestration.source_check import SourceCheck
from platform_ops.orchestration.step import step


def hotfix(service: str, environment: str) -> DAG:
    where = {"service": service, "environment": environment}
    with hotfix_dag(**where, doc=__doc__) as dag:
        resolve = step(steps.resolve)(**where)
        admit = step(promotion.admit)(**where)
        checks = [
            SourceCheck(task_id="check_source", **where),
            step(verify_signatures)(**where),
            source_gates(**where),
        ]
        build = step(promotion.build)(**where)
        check_image = step(promotion.check_image)(**where)
        approved = approve(**where, hotfix=True)
        pre_empt = steps.PreEmptOperator(task_id="pre_empt", **where)
        deploy_preview = RolloutOperator(task_id="deploy_preview", until=Phase.VERIFYING, **where)
        verify = RolloutOperator(task_id="verify", until=Phase.SHIFTING, **where)
        roll_out = RolloutOperator(task_id="roll_out", until=Phase.PROMOTED, **where)
        verify_active = VerifyActiveOperator(task_id="verify_active", **where)
        record = step(promotion.record)(**where)
        merge = step(steps.merge, **PATIENT)(**where)

        resolve >> admit >> checks >> build >> check_image >> approved >> pre_empt
        pre_empt >> deploy_preview >> verify >> roll_out >> verify_active >> record >> merge

        paging.page_when_anything_fails(merge, **where)
    return dag


for _service, _environment in hotfixes():
    _dag = hotfix(_service, _environment)
    globals()[_dag.dag_id] = _dag
