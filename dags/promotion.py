"""
# Promotion

Takes one release of a service into one environment.

1. **resolve**: which release: in development the branch's head, elsewhere what the one before verified
2. **admit**: no freeze window, no open incident that it does not fix; production: staging is verified, well
3. **check source**: the analyzer scans the commit in a pod of its own; a secret stops the release.
   **verify signatures**, beside it: every new commit is signed by its committer's key.
   **gates**, beside them: formatter, linter, types and tests, each in its own pod, unless equal inputs passed
4. **build** (development only): the image is built once; its digest goes through all environments
5. **check image**: the digest is in the registry, whole, of this commit, and not root's
6. **approve**: votes by role and the wait timer; counted into the ledger, bound to the digest
7. **deploy preview**: gates and admission are asked again; the other colour comes up full, without traffic
8. **verify**: the preview passes its checks
9. **roll out**: traffic moves step by step; every step is watched, then the bake; the old colour stays warm
10. **verify active**: the checks again, from outside, on what users now get
11. **advance branch** (development): `staging` moves on to the commit.
    **merge** (production): `main` gets a signed merge that names release and digest, and a version tag
12. **record**: the next environment may take the release

When a step from 7 to 10 fails, the rollout controller has already put traffic back on the old colour and
proved that. No later step moves traffic. The run ends red, and one page says what happened, what was done
and what to do.
"""

from __future__ import annotations

from airflow.sdk import DAG

from platform_ops.catalog import way
from platform_ops.core.rollout import Phase
from platform_ops.orchestration import paging
from platform_ops.orchestration import promotion as steps
from platform_ops.orchestration.approval import approve
from platform_ops.orchestration.branch import promoted_asset
from platform_ops.orchestration.gate import source_gates
from platform_ops.orchestration.releasing import PATIENT, advance_branch, merge
from platform_ops.orchestration.rollout import RolloutOperator, VerifyActiveOperator
from platform_ops.orchestration.service_dag import promotion_dag, promotions
from platform_ops.orchestration.signatures import verify_signatures
from platform_ops.orchestration.source_check import SourceCheck
from platform_ops.orchestration.step import step


def promotion(service: str, environment: str) -> DAG:
    where = {"service": service, "environment": environment}
    with promotion_dag(**where, doc=__doc__) as dag:
        resolve = step(steps.resolve)(**where)
        admit = step(steps.admit)(**where)
        checks = [
            SourceCheck(task_id="check_source", **where),
            step(verify_signatures)(**where),
            source_gates(**where),
        ]
        check_image = step(steps.check_image)(**where)
        approved = approve(**where)
        deploy_preview = RolloutOperator(task_id="deploy_preview", until=Phase.VERIFYING, **where)
        verify = RolloutOperator(task_id="verify", until=Phase.SHIFTING, **where)
        roll_out = RolloutOperator(task_id="roll_out", until=Phase.PROMOTED, **where)
        verify_active = VerifyActiveOperator(task_id="verify_active", **where)
        record = step(steps.record, outlets=[promoted_asset(**where)])(**where)

        resolve >> admit >> checks
        built = checks >> step(steps.build)(**where) if way.builds(environment) else checks
        built >> check_image >> approved >> deploy_preview >> verify >> roll_out >> verify_active
        released = verify_active
        if way.builds(environment):
            released = verify_active >> step(advance_branch, **PATIENT)(**where)
        elif way.goes_live(environment):
            released = verify_active >> step(merge, **PATIENT)(**where)
        released >> record

        paging.page_when_anything_fails(record, **where)
    return dag


for _service, _environment in promotions():
    _dag = promotion(_service, _environment)
    globals()[_dag.dag_id] = _dag
