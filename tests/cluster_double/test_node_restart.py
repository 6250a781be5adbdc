"""The node is killed, the API server is killed: pods go on, and nothing is left when everything is told to
stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from node_lab import Images, Lab, images, main_status, phase_is, pod

from local_platform.cluster.controllers.resources import NODES, PODS, Object

pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    with images(tmp_path_factory.mktemp("images")) as served:
        yield served


@pytest.fixture
def lab(served: Images, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, served.address)
    try:
        lab.start_server()
        lab.start_node()
        yield lab
    finally:
        lab.stop()


def identity(item: Object) -> tuple[str, int]:
    status = main_status(item)
    return status["containerID"], status["restartCount"]


async def test_a_node_that_was_killed_adopts_what_still_runs_and_reports_what_does_not(lab: Lab) -> None:
    async with lab.client() as cluster:
        await cluster.create(PODS, pod("lasting", "sh", "-c", "echo up; sleep 600"))
        script = "while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 4"
        await cluster.create(
            PODS,
            pod(
                "ending",
                "sh",
                "-c",
                script,
                volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}],
                spec={"volumes": [{"name": "tmp", "emptyDir": {}}]},
            ),
        )
        before = await cluster.until(PODS, "lasting", phase_is("Running"))
        ending = await cluster.until(PODS, "ending", phase_is("Running"))
        lab.kill_node()
        (lab.data / "pods" / ending["metadata"]["uid"] / "volumes" / "tmp" / "go").touch()
        lab.start_node()
        ended = await cluster.until(PODS, "ending", phase_is("Failed"))
        assert main_status(ended)["state"]["terminated"]["exitCode"] == 4
        after = await cluster.until(PODS, "lasting", phase_is("Running"))
        assert identity(after) == identity(before)
        assert await cluster.log("lasting") == "up\n"


async def test_a_pod_deleted_while_the_node_was_away_ends_when_it_comes_back(lab: Lab) -> None:
    async with lab.client() as cluster:
        await cluster.create(PODS, pod("doomed", "sleep", "600"))
        await cluster.until(PODS, "doomed", phase_is("Running"))
        lab.kill_node()
        await cluster.api.delete(PODS, "default", "doomed", grace=0)
        assert lab.survivors() != []
        lab.start_node()
        await cluster.create(PODS, pod("next", "true"))
        await cluster.until(PODS, "next", phase_is("Succeeded"))
        await cluster.api.delete(PODS, "default", "next")
        await cluster.gone(PODS, "next")
    lab.kill_node()
    assert lab.survivors() == []


async def test_pods_go_on_and_status_follows_while_the_api_server_is_killed(lab: Lab) -> None:
    async with lab.client() as cluster:
        await cluster.create(PODS, pod("steady", "sh", "-c", "sleep 1; exit 5"))
        await cluster.until(PODS, "steady", phase_is("Running"))
        lab.kill_server()
        lab.start_server()
        ended = await cluster.until(PODS, "steady", phase_is("Failed"))
        assert main_status(ended)["state"]["terminated"]["exitCode"] == 5


async def test_stop_all_leaves_no_process_behind(lab: Lab) -> None:
    async with lab.client() as cluster:
        for name in ("one", "two"):
            await cluster.create(PODS, pod(name, "sh", "-c", "trap '' TERM; sleep 600 & sleep 600"))
            await cluster.until(PODS, name, phase_is("Running"))
        lab.kill_node()
        assert lab.survivors() != []
        lab.stop_pods()
        assert lab.survivors() == []


async def test_the_node_says_that_it_is_ready_and_where_it_answers(lab: Lab) -> None:
    async with lab.client() as cluster:

        def ready(item: Object) -> bool:
            conditions = {
                one["type"]: one["status"] for one in (item.get("status") or {}).get("conditions") or []
            }
            return conditions.get("Ready") == "True"

        node = await cluster.until(NODES, "local-node", ready, namespace="")
        assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == lab.port
        assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "127.0.0.1"}
