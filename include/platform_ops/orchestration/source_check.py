"""`check_source`: our analyzer scans the commit in a pod that holds no credentials."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from kubernetes.client import models as k8s

from platform_ops import wiring
from platform_ops.core.errors import GateClosed

from .step import Run, at_desk, run_to_end

LINK_EXPIRES = timedelta(minutes=15)
RESULT_FILE = "/airflow/xcom/return.json"


class SourceCheck(KubernetesPodOperator):
    """The stock pod operator around `analyzer scan`: the log is streamed, the result comes by its side-car.

    The source reaches the pod as a git bundle by a presigned link. The result is judged here, in the
    process that
    received it, and written to the ledger for the commit: what stands in XCom later decides nothing.
    """

    def __init__(self, *, service: str, environment: str, **kwargs: Any) -> None:
        settings = wiring.settings()
        super().__init__(
            name=f"check-source-{service}",
            namespace=settings.jobs_namespace,
            image=settings.scanner_image,
            do_xcom_push=True,
            startup_check_interval_seconds=1,
            log_events_on_startup=False,
            automount_service_account_token=False,
            volumes=[k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource())],
            volume_mounts=[k8s.V1VolumeMount(name="tmp", mount_path="/tmp")],
            container_security_context={
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
            **kwargs,
        )
        self.service = service
        self.environment = environment

    def execute(self, context: Mapping[str, Any]) -> None:
        run = Run.of(context, self.service, self.environment)
        self.arguments = run_to_end(at_desk(_scan_arguments, run))
        result = super().execute(context)

        async def judge(desk: wiring.Desk, run: Run) -> None:
            await _judge(desk, run, result)

        run_to_end(at_desk(judge, run))


async def _scan_arguments(desk: wiring.Desk, run: Run) -> list[str]:
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    key = f"source/{run.service}/{promotion.commit}.bundle"
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "source.bundle")
        await desk.source.bundle(run.service, promotion.commit, bundle)
        await desk.objects.put(key, bundle)
    link = await desk.objects.presigned_get(key, LINK_EXPIRES)
    what = ["--bundle", link, "--commit", promotion.commit]
    return ["scan", *what, "--exit-zero", "--output", RESULT_FILE]


async def _judge(desk: wiring.Desk, run: Run, result: Any) -> None:
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    if not isinstance(result, Mapping) or "outcome" not in result:
        raise GateClosed("The scan gave no result: a scan that saw nothing is not a pass. See its log above.")
    findings = result.get("findings", [])
    passed = result["outcome"] == "clean"
    await desk.ledger.gates.record(
        service=run.service,
        subject=promotion.commit,
        gate="source",
        outcome="passed" if passed else "failed",
        detail=dict(result),
    )
    if findings:
        places = ", ".join(f"{f['path']}:{f['line']} ({f['rule']})" for f in findings[:10])
        raise GateClosed(
            f"{len(findings)} secret(s) in {promotion.commit[:8]}: {places}. "
            "Revoke them, remove them from the source, and push again."
        )
    if not passed:
        raise GateClosed(
            f"The scan could not see everything ({result['outcome']}): {result.get('not_scanned')}"
        )
