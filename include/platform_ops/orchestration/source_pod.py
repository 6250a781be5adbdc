"""A pod that looks at a commit: what every gate of the source has in common.

The source reaches the pod as a git bundle by a presigned link; the pod holds no credentials. Its log is
streamed. Its result comes by the side-car and is judged where it arrives: XCom decides nothing later.
"""

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

LINK_EXPIRES = timedelta(minutes=15)
RESULT_FILE = "/airflow/xcom/return.json"

# Made once: each object of the Kubernetes client copies the client's whole configuration, and for every pod
# of every DAG that was a quarter of the time of parsing.
_TMP = k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource())
_TMP_MOUNT = k8s.V1VolumeMount(name="tmp", mount_path="/tmp")


class SourcePod(KubernetesPodOperator):
    """The stock pod operator with a pod that may do nothing but look."""

    def __init__(self, *, service: str, environment: str, purpose: str, image: str, **kwargs: Any) -> None:
        super().__init__(
            name=f"{purpose}-{service}",
            namespace=wiring.settings().jobs_namespace,
            image=image,
            do_xcom_push=True,
            startup_check_interval_seconds=1,
            log_events_on_startup=False,
            automount_service_account_token=False,
            volumes=[_TMP],
            volume_mounts=[_TMP_MOUNT],
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

    def result_of_pod(self, context: Mapping[str, Any], arguments: list[str]) -> Any:
        """Run the pod with these arguments; what it wrote to RESULT_FILE."""
        self.arguments = arguments
        return KubernetesPodOperator.execute(self, context)


async def bundle_link(desk: wiring.Desk, service: str, commit: str) -> str:
    """A link, good for LINK_EXPIRES, to a git bundle with the commit and its history."""
    key = f"source/{service}/{commit}.bundle"
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "source.bundle")
        await desk.source.bundle(service, commit, bundle)
        await desk.objects.put(key, bundle)
    return await desk.objects.presigned_get(key, LINK_EXPIRES)


def require_result(result: Any, commit: str) -> Mapping[str, Any]:
    """The pod's result. GateClosed when it has none, or one of another commit: nothing seen is no pass."""
    if not isinstance(result, Mapping) or result.get("commit") != commit or "outcome" not in result:
        raise GateClosed("The pod gave no result: what saw nothing is not a pass. See its log above.")
    return result
