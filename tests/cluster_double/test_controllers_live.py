"""Workloads on a running cluster double: they get where their specs say, and what depends on them goes
with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from node_lab import Lab, Watcher, images

from local_platform.cluster.controllers.resources import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Object,
)

pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("controllers")
    with images(folder) as served:
        lab = Lab(folder, served.address)
        try:
            lab.start_server()
            lab.start_node()
            yield lab
        finally:
            lab.stop()
            assert lab.survivors() == []


@pytest.fixture
async def cluster(lab: Lab) -> AsyncIterator[Watcher]:
    async with lab.client() as client:
        yield client


def deployment(name: str, replicas: int = 2, **spec: object) -> Object:
    container = {
        "name": "web",
        "image": "localhost/app:1",
        "command": ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"],
        "ports": [{"name": "http", "containerPort": 8000}],
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 3},
            },
            **spec,
        },
    }


def rolled_out(item: Object) -> bool:
    status, wanted = item.get("status") or {}, item["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return counts == [wanted] * 3 and status.get("observedGeneration") == item["metadata"]["generation"]


def condition_of(item: Object, kind: str) -> tuple[str, str]:
    for one in (item.get("status") or {}).get("conditions") or []:
        if one["type"] == kind:
            return one["status"], one["reason"]
    return "", ""


async def owned(cluster: Watcher, app: str) -> list[Object]:
    return list((await cluster.api.list(PODS, "default", labelSelector=f"app={app}"))["items"])


class TestDeployments:
    async def test_a_new_template_replaces_all_pods_and_never_drops_below_the_minimum(
        self, cluster: Watcher
    ) -> None:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await cluster.create(DEPLOYMENTS, deployment("rolled", 2, strategy=rolling))
        first = await cluster.until(DEPLOYMENTS, "rolled", rolled_out)
        assert condition_of(first, "Progressing") == ("True", "NewReplicaSetAvailable")
        before = {pod["metadata"]["uid"] for pod in await owned(cluster, "rolled")}
        lowest: list[int] = []

        def watch(item: Object) -> bool:
            lowest.append((item.get("status") or {}).get("availableReplicas", 0))
            return (
                rolled_out(item)
                and item["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
            )

        change = {"spec": {"template": {"metadata": {"annotations": {"release": "2"}}}}}
        await cluster.api.patch(DEPLOYMENTS, "default", "rolled", change)
        await cluster.until(DEPLOYMENTS, "rolled", watch)
        assert min(lowest) == 2
        active = [
            pod for pod in await owned(cluster, "rolled") if not pod["metadata"].get("deletionTimestamp")
        ]
        assert before.isdisjoint(pod["metadata"]["uid"] for pod in active)
        assert len(active) == 2

    async def test_a_template_that_cannot_start_is_reported_and_leaves_the_old_pods_alone(
        self, cluster: Watcher
    ) -> None:
        await cluster.create(DEPLOYMENTS, deployment("stuck", 2, progressDeadlineSeconds=2))
        await cluster.until(DEPLOYMENTS, "stuck", rolled_out)
        image = [
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "localhost/nosuch:1"}
        ]
        await cluster.api.request(
            "PATCH", DEPLOYMENTS.path("default", "stuck"), image, content_type="application/json-patch+json"
        )
        late = await cluster.until(
            DEPLOYMENTS,
            "stuck",
            lambda item: condition_of(item, "Progressing")[1] == "ProgressDeadlineExceeded",
        )
        assert condition_of(late, "Progressing") == ("False", "ProgressDeadlineExceeded")
        assert late["status"]["availableReplicas"] == 2
        await cluster.api.delete(DEPLOYMENTS, "default", "stuck", propagation="Background")

    async def test_recreate_waits_for_the_old_pods_to_be_gone(self, cluster: Watcher) -> None:
        await cluster.create(DEPLOYMENTS, deployment("again", 1, strategy={"type": "Recreate"}))
        await cluster.until(DEPLOYMENTS, "again", rolled_out)
        change = {"spec": {"template": {"metadata": {"annotations": {"release": "2"}}}}}
        most = 0

        async def count() -> None:
            nonlocal most
            names: set[str] = set()
            async for kind, pod in cluster.api.watch(PODS.path("default"), {"labelSelector": "app=again"}):
                ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
                (names.discard if kind == "DELETED" or ended else names.add)(pod["metadata"]["name"])
                most = max(most, len(names))

        counting = asyncio.ensure_future(count())
        await cluster.api.patch(DEPLOYMENTS, "default", "again", change)
        await cluster.until(
            DEPLOYMENTS,
            "again",
            lambda item: (
                rolled_out(item)
                and item["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
            ),
        )
        counting.cancel()
        assert most == 1


class TestEndpoints:
    async def test_they_follow_the_selector_and_leave_before_the_pod_does(self, cluster: Watcher) -> None:
        await cluster.create(DEPLOYMENTS, deployment("blue", 1))
        await cluster.create(DEPLOYMENTS, deployment("green", 1))
        service = {
            "metadata": {"name": "switch"},
            "spec": {"selector": {"app": "blue"}, "ports": [{"port": 80}]},
        }
        service["spec"]["ports"] = [{"port": 80, "targetPort": "http"}]
        await cluster.create(SERVICES, service)
        addresses = {}
        for name in ("blue", "green"):
            await cluster.until(DEPLOYMENTS, name, rolled_out)
            addresses[name] = (await owned(cluster, name))[0]["status"]["podIP"]

        def leads_to(colour: str) -> Callable[[Object], bool]:
            def check(item: Object) -> bool:
                found = [
                    one["addresses"][0] for one in item.get("endpoints") or [] if one["conditions"]["ready"]
                ]
                return found == [addresses[colour]]

            return check

        def holds(colour: str) -> Callable[[Object], bool]:
            def check(item: Object) -> bool:
                subsets = item.get("subsets") or []
                found = [one["ip"] for subset in subsets for one in subset.get("addresses") or []]
                return found == [addresses[colour]]

            return check

        # Both are written from one look, the slice first.
        await cluster.until(ENDPOINTS, "switch", holds("blue"))
        query = {"labelSelector": "kubernetes.io/service-name=switch"}
        slices = await cluster.api.list(ENDPOINT_SLICES, "default", **query)
        name = slices["items"][0]["metadata"]["name"]
        await cluster.until(ENDPOINT_SLICES, name, leads_to("blue"))
        await cluster.api.patch(SERVICES, "default", "switch", {"spec": {"selector": {"app": "green"}}})
        found = await cluster.until(ENDPOINT_SLICES, name, leads_to("green"))
        assert found["ports"] == [{"name": "", "protocol": "TCP", "port": 8000}]
        await cluster.until(ENDPOINTS, "switch", holds("green"))
        await cluster.api.delete(SERVICES, "default", "switch")
        await cluster.gone(ENDPOINT_SLICES, name)
        await cluster.gone(ENDPOINTS, "switch")


class TestJobs:
    @pytest.mark.parametrize(
        ("name", "command", "spec", "expected"),
        [
            ("succeeds", ["true"], {"completions": 2, "parallelism": 2}, ("Complete", 2, 0)),
            ("fails", ["false"], {"backoffLimit": 0}, ("Failed", 0, 1)),
        ],
        ids=["complete", "failed"],
    )
    async def test_they_count_their_pods_and_end(
        self, cluster: Watcher, name: str, command: list[str], spec: Object, expected: tuple[str, int, int]
    ) -> None:
        container = {"name": "main", "image": "localhost/app:1", "command": command}
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        await cluster.create(JOBS, {"metadata": {"name": name}, "spec": {"template": template, **spec}})
        kind, succeeded, failed = expected
        job = await cluster.until(JOBS, name, lambda item: condition_of(item, kind)[0] == "True")
        status = job["status"]
        assert (status.get("succeeded", 0), status.get("failed", 0)) == (succeeded, failed)
        assert status["uncountedTerminatedPods"] == {}
        pods = (await cluster.api.list(PODS, "default", labelSelector=f"job-name={name}"))["items"]
        assert all(not pod["metadata"].get("finalizers") for pod in pods)

    async def test_a_finished_job_goes_when_its_time_is_over(self, cluster: Watcher) -> None:
        container = {"name": "main", "image": "localhost/app:1", "command": ["true"]}
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        spec = {"template": template, "ttlSecondsAfterFinished": 0}
        await cluster.create(JOBS, {"metadata": {"name": "short"}, "spec": spec})
        await cluster.gone(JOBS, "short")
        assert (await cluster.api.list(PODS, "default", labelSelector="job-name=short"))["items"] == []


class TestDeletion:
    @pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
    async def test_dependents_go_or_stay_as_the_policy_says(self, cluster: Watcher, propagation: str) -> None:
        name = f"with-{propagation.lower()}"
        await cluster.create(DEPLOYMENTS, deployment(name, 1))
        await cluster.until(DEPLOYMENTS, name, rolled_out)
        listed = await cluster.api.list(REPLICA_SETS, "default", labelSelector=f"app={name}")
        child = listed["items"][0]["metadata"]["name"]
        await cluster.api.delete(DEPLOYMENTS, "default", name, propagation=propagation)
        await cluster.gone(DEPLOYMENTS, name)
        if propagation == "Orphan":
            left = await cluster.until(
                REPLICA_SETS, child, lambda item: not item["metadata"].get("ownerReferences")
            )
            assert left["status"]["replicas"] == 1
            await cluster.api.delete(REPLICA_SETS, "default", child, propagation="Background")
        await cluster.gone(REPLICA_SETS, child)
        for pod in await owned(cluster, name):
            await cluster.gone(PODS, pod["metadata"]["name"])

    async def test_a_namespace_takes_everything_in_it_along(self, cluster: Watcher) -> None:
        await cluster.create(NAMESPACES, {"metadata": {"name": "passing"}}, namespace="")
        await cluster.create(DEPLOYMENTS, deployment("inside", 1), namespace="passing")
        await cluster.until(DEPLOYMENTS, "inside", rolled_out, namespace="passing")
        await cluster.api.delete(NAMESPACES, "", "passing")
        await cluster.gone(NAMESPACES, "passing", namespace="")
        assert (await cluster.api.list(PODS, "passing"))["items"] == []
