"""Workloads against the cluster double's real API server; the test plays the Deployment's controllers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from colours import DIGEST, MANIFESTS, OTHER_DIGEST, endpoints, fresh_target, image, pod, replica_set
from conftest import Servers

from platform_ops.adapters import cluster_view, kubernetes
from platform_ops.adapters.kube_api import KubeApi, object_path
from platform_ops.adapters.kubernetes import KubernetesWorkloads
from platform_ops.core.errors import PermanentError, Refused, Unavailable
from platform_ops.core.release import Colour, Target

BLUE, GREEN = Colour.BLUE, Colour.GREEN
RUNNING = {"ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}


@pytest.fixture
async def target(admin: KubeApi) -> Target:
    return await fresh_target(admin)


@pytest.fixture
def workloads(kube: KubeApi) -> KubernetesWorkloads:
    return KubernetesWorkloads(
        kube, MANIFESTS.service, poll=timedelta(milliseconds=20), removal_limit=timedelta(seconds=1)
    )


async def deploy(workloads: KubernetesWorkloads, target: Target, digest: str = DIGEST) -> None:
    await workloads.apply(target, MANIFESTS.colour(target, BLUE, image(digest)))


async def test_a_colour_that_was_never_deployed_does_not_exist(
    workloads: KubernetesWorkloads, target: Target
) -> None:
    assert not (await workloads.status(target, GREEN)).exists


async def test_an_image_without_digest_is_refused_before_anything_is_applied(
    workloads: KubernetesWorkloads, target: Target, kube: KubeApi
) -> None:
    with pytest.raises(Refused, match=r"'registry.example.com/llm-service:latest' without a digest"):
        await workloads.apply(
            target, MANIFESTS.colour(target, BLUE, "registry.example.com/llm-service:latest")
        )
    accounts = object_path("v1", "ServiceAccount", target.namespace, target.deployment(BLUE))
    assert await kube.find(target.context, accounts) is None


class Behind:
    """A view of the cluster that has not heard of anything yet."""

    def __init__(self) -> None:
        self.asked = 0

    async def find(self, *which: str) -> None:
        self.asked += 1

    async def list(self, *which: object) -> list[Mapping[str, Any]]:
        return []


@pytest.mark.parametrize("write", ["apply", "scale", "remove"])
async def test_after_a_write_of_its_own_it_looks_directly_until_a_view_must_have_heard(
    workloads: KubernetesWorkloads, kube: KubeApi, target: Target, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    """Otherwise a colour that was just deployed would be missing, and be deployed again."""
    await deploy(workloads, target)
    behind = Behind()
    viewing = KubernetesWorkloads(kube, MANIFESTS.service, reader=behind, poll=timedelta(milliseconds=20))
    assert not (await viewing.status(target, BLUE)).exists
    assert behind.asked == 1
    if write == "apply":
        await viewing.apply(target, MANIFESTS.colour(target, BLUE, image(OTHER_DIGEST)))
    elif write == "scale":
        await viewing.scale(target, BLUE, 1)
    else:
        await viewing.remove(target, GREEN)
    shown = await viewing.status(target, BLUE)
    assert (shown.digest, shown.desired == 1) == (
        OTHER_DIGEST if write == "apply" else DIGEST,
        write == "scale",
    )
    assert behind.asked == 1
    monkeypatch.setattr(kubernetes, "OWN_WRITES_SHOWN", 0.0)
    await viewing.scale(target, BLUE, 3)
    assert not (await viewing.status(target, BLUE)).exists
    assert behind.asked == 2


def test_a_view_is_never_further_behind_than_own_writes_are_looked_at_directly() -> None:
    assert kubernetes.OWN_WRITES_SHOWN > cluster_view.TURN + cluster_view.GRACE


async def test_applying_twice_changes_nothing(
    workloads: KubernetesWorkloads, target: Target, kube: KubeApi
) -> None:
    path = object_path("apps/v1", "Deployment", target.namespace, target.deployment(BLUE))
    await deploy(workloads, target)
    first = await kube.get(target.context, path)
    await deploy(workloads, target)
    assert (await kube.get(target.context, path))["metadata"]["generation"] == first["metadata"]["generation"]
    status = await workloads.status(target, BLUE)
    assert (status.exists, status.digest, status.desired, status.ready) == (True, DIGEST, 3, 0)


async def test_only_ready_and_routed_pods_of_the_current_template_count(
    workloads: KubernetesWorkloads, target: Target, admin: KubeApi
) -> None:
    await deploy(workloads, target)
    old = await replica_set(admin, target, BLUE, 1)
    await deploy(workloads, target, OTHER_DIGEST)
    new = await replica_set(admin, target, BLUE, 2)
    await pod(admin, target, BLUE, "of-the-old-template", old, RUNNING)
    await pod(admin, target, BLUE, "ready-and-routed", new, RUNNING)
    await pod(admin, target, BLUE, "ready-not-routed", new, RUNNING)
    await pod(admin, target, BLUE, "routed-not-ready", new, {**RUNNING, "ready": False})
    routed = {"of-the-old-template": True, "ready-and-routed": True, "routed-not-ready": True}
    await endpoints(admin, target, BLUE, {**routed, "ready-not-routed": False})
    status = await workloads.status(target, BLUE)
    assert (status.ready, status.digest) == (1, OTHER_DIGEST)


async def test_pods_count_only_once_the_cluster_has_seen_the_template(
    workloads: KubernetesWorkloads, target: Target, admin: KubeApi
) -> None:
    await deploy(workloads, target)
    old = await replica_set(admin, target, BLUE, 1)
    await pod(admin, target, BLUE, "one", old, RUNNING)
    await endpoints(admin, target, BLUE, {"one": True})
    assert (await workloads.status(target, BLUE)).ready == 1
    await deploy(workloads, target, OTHER_DIGEST)
    assert (await workloads.status(target, BLUE)).ready == 0


@pytest.mark.parametrize(
    ("container", "said"),
    [
        pytest.param(
            {
                "ready": False,
                "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                "lastState": {"terminated": {"exitCode": 70, "reason": "Error"}},
            },
            "CrashLoopBackOff: exit 70 (3 restarts)",
            id="crash-loop",
        ),
        pytest.param(
            {
                "ready": False,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown"}},
            },
            "ImagePullBackOff: manifest unknown",
            id="no-image",
        ),
        pytest.param(
            {
                "ready": False,
                "restartCount": 1,
                "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            },
            "OOMKilled: out of memory (1 restarts)",
            id="out-of-memory",
        ),
        pytest.param(
            {"ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}, None, id="starting"
        ),
    ],
)
async def test_what_is_wrong_with_a_pod_is_said_in_words(
    workloads: KubernetesWorkloads,
    target: Target,
    admin: KubeApi,
    container: dict[str, object],
    said: str | None,
) -> None:
    await deploy(workloads, target)
    current = await replica_set(admin, target, BLUE, 1)
    await pod(admin, target, BLUE, "one", current, container)
    status = await workloads.status(target, BLUE)
    assert status.failing == ((said,) if said else ())
    assert status.restarts == container.get("restartCount", 0)


async def test_scaling_changes_the_size_and_nothing_else(
    workloads: KubernetesWorkloads, target: Target
) -> None:
    await deploy(workloads, target)
    await workloads.scale(target, BLUE, 7)
    status = await workloads.status(target, BLUE)
    assert (status.desired, status.digest) == (7, DIGEST)


async def test_removal_is_done_when_the_last_pod_is_gone(
    workloads: KubernetesWorkloads, target: Target, admin: KubeApi
) -> None:
    await deploy(workloads, target)
    current = await replica_set(admin, target, BLUE, 1)
    await pod(admin, target, BLUE, "lingering", current, RUNNING)
    with pytest.raises(Unavailable, match="lingering"):
        await workloads.remove(target, BLUE)
    removal = asyncio.create_task(workloads.remove(target, BLUE))
    path = object_path("v1", "Pod", target.namespace, "lingering")
    await admin.request(target.context, "DELETE", path, query={"gracePeriodSeconds": "0"})
    await _finish_foreground_deletion(admin, target)
    await removal
    assert not (await workloads.status(target, BLUE)).exists


async def _finish_foreground_deletion(admin: KubeApi, target: Target) -> None:
    """What the garbage collector does once no dependant is left."""
    path = object_path("apps/v1", "Deployment", target.namespace, target.deployment(BLUE))
    if await admin.find(target.context, path) is not None:
        await admin.patch(target.context, path, {"metadata": {"finalizers": None}})


async def test_a_colour_that_is_removed_loses_its_autoscaler(
    workloads: KubernetesWorkloads, target: Target, kube: KubeApi
) -> None:
    path = object_path("autoscaling/v2", "HorizontalPodAutoscaler", target.namespace, target.deployment(BLUE))
    await deploy(workloads, target)
    assert (await kube.get(target.context, path))["spec"]["minReplicas"] == 3
    with pytest.raises(Unavailable):  # nobody collects the Deployment here
        await workloads.remove(target, BLUE)
    assert await kube.find(target.context, path) is None


async def test_removing_what_is_not_there_is_fine(workloads: KubernetesWorkloads, target: Target) -> None:
    await workloads.remove(target, GREEN)


async def test_the_service_is_created_with_its_first_colour_and_follows(
    workloads: KubernetesWorkloads, target: Target
) -> None:
    assert await workloads.selected_colour(target) is None
    await workloads.select_colour(target, BLUE)
    assert await workloads.selected_colour(target) is BLUE
    await workloads.select_colour(target, GREEN)
    assert await workloads.selected_colour(target) is GREEN


async def test_a_manifest_that_the_api_refuses_says_why(
    workloads: KubernetesWorkloads, target: Target
) -> None:
    manifests = [dict(one) for one in MANIFESTS.colour(target, BLUE, image())]
    deployment = next(one for one in manifests if one["kind"] == "Deployment")
    broken = {**deployment, "spec": {**deployment["spec"], "replicas": -1}}
    with pytest.raises(Refused, match="replicas"):
        await workloads.apply(target, [broken])


async def test_a_context_that_the_kubeconfig_lacks_is_named(kube: KubeApi) -> None:
    with pytest.raises(PermanentError, match="no usable context 'moon'"):
        await kube.get("moon", "/api/v1/namespaces")


async def test_an_api_server_that_is_away_is_a_temporary_error(tmp_path: Path, cluster: Servers) -> None:
    text = cluster.kubeconfig("controller").read_text()
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(re.sub(r"https://127\.0\.0\.1:\d+", "https://127.0.0.1:1", text))
    api = KubeApi(elsewhere)
    with pytest.raises(Unavailable, match="does not answer"):
        await api.get("production", "/api/v1/namespaces")
    await api.aclose()
