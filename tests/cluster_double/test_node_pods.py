"""Pods on the node: what their containers see, how they end, and what the API says about them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from node_lab import Lab, Watcher, images, main_status, phase_is, pod, waiting_for

from local_platform.cluster.controllers.resources import CONFIG_MAPS, LEASES, NODES, PODS, SECRETS, Object
from local_platform.node.container import Attempt, Container, Ending
from local_platform.node.processes import ProcessId

pytestmark = pytest.mark.platform
ENDED = phase_is("Succeeded", "Failed")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("node")
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


def is_ready(item: Object) -> bool:
    return main_status(item).get("ready") is True


class TestWhatAContainerSees:
    async def test_environment_comes_from_every_source_and_expands(self, cluster: Watcher) -> None:
        await cluster.create(CONFIG_MAPS, {"metadata": {"name": "settings"}, "data": {"colour": "blue"}})
        await cluster.create(SECRETS, {"metadata": {"name": "keys"}, "stringData": {"KEY": "hidden"}})
        environment = [
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "GREETING", "value": "$(COLOUR) and $(KEY), not $(NOBODY) nor $$(COLOUR)"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {
                "name": "LIMIT",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
        ]
        await cluster.create(
            PODS,
            pod(
                "environment",
                "sh",
                "-c",
                "echo $GREETING; echo $NAME $POD_IP $LIMIT; echo $(COLOUR)",
                env=environment,
                envFrom=[{"secretRef": {"name": "keys"}}],
                resources={"limits": {"memory": "64Mi"}},
            ),
        )
        item = await cluster.until(PODS, "environment", ENDED)
        lines = (await cluster.log("environment")).splitlines()
        assert lines[0] == "blue and hidden, not $(NOBODY) nor $(COLOUR)"
        assert lines[1].split() == ["environment", item["status"]["podIP"], "64"]
        assert lines[2] == "blue"
        assert item["status"]["podIP"].startswith("127.")

    async def test_a_user_without_rights_on_a_read_only_root_writes_to_its_volumes_only(
        self, cluster: Watcher
    ) -> None:
        script = (
            "id -u; id -g; touch /tmp/x && echo written; touch /x || echo refused; cat /etc/settings/colour"
        )
        await cluster.create(CONFIG_MAPS, {"metadata": {"name": "colours"}, "data": {"colour": "green\n"}})
        await cluster.create(
            PODS,
            pod(
                "confined",
                "sh",
                "-c",
                script,
                securityContext={
                    "runAsUser": 10001,
                    "runAsGroup": 10001,
                    "runAsNonRoot": True,
                    "readOnlyRootFilesystem": True,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
                volumeMounts=[
                    {"name": "scratch", "mountPath": "/tmp"},
                    {"name": "settings", "mountPath": "/etc/settings"},
                ],
                spec={
                    "volumes": [
                        {"name": "scratch", "emptyDir": {}},
                        {"name": "settings", "configMap": {"name": "colours"}},
                    ]
                },
            ),
        )
        item = await cluster.until(PODS, "confined", ENDED)
        assert item["status"]["phase"] == "Succeeded"
        text = await cluster.log("confined")
        assert [line for line in text.splitlines() if "Read-only" not in line] == [
            "10001",
            "10001",
            "written",
            "refused",
            "green",
        ]

    async def test_processes_of_others_are_out_of_sight(self, cluster: Watcher) -> None:
        await cluster.create(PODS, pod("alone", "sh", "-c", "ls -d /proc/[0-9]*"))
        await cluster.until(PODS, "alone", ENDED)
        assert (await cluster.log("alone")).split() == ["/proc/1"]

    async def test_a_projected_config_map_shows_the_chosen_keys(self, cluster: Watcher) -> None:
        await cluster.create(
            CONFIG_MAPS,
            {"metadata": {"name": "moving"}, "data": {"word": "before\n"}, "binaryData": {"raw": "AAE="}},
        )
        projection = {
            "name": "moving",
            "items": [{"key": "word", "path": "deep/word"}, {"key": "raw", "path": "raw"}],
        }
        await cluster.create(
            PODS,
            pod(
                "reader",
                "cat",
                "/config/deep/word",
                volumeMounts=[{"name": "config", "mountPath": "/config"}],
                spec={"volumes": [{"name": "config", "projected": {"sources": [{"configMap": projection}]}}]},
            ),
        )
        await cluster.until(PODS, "reader", ENDED)
        assert await cluster.log("reader") == "before\n"


class TestHowContainersEnd:
    @pytest.mark.parametrize(
        ("command", "phase", "code", "reason"),
        [
            (["true"], "Succeeded", 0, "Completed"),
            (["sh", "-c", "exit 7"], "Failed", 7, "Error"),
            (["sh", "-c", "sh -c 'kill -9 $$$$'; exit $?"], "Failed", 137, "Error"),
        ],
        ids=["success", "exit-code", "killed-child"],
    )
    async def test_code_and_reason_are_told(
        self, cluster: Watcher, command: list[str], phase: str, code: int, reason: str
    ) -> None:
        name = f"ends-{code}"
        await cluster.create(PODS, pod(name, *command))
        item = await cluster.until(PODS, name, ENDED)
        ended = main_status(item)["state"]["terminated"]
        assert (item["status"]["phase"], ended["exitCode"], ended["reason"]) == (phase, code, reason)

    async def test_a_container_over_its_memory_limit_is_killed_and_named(self, cluster: Watcher) -> None:
        script = "held = []\nwhile True: held.append(bytearray(2**20)); __import__('time').sleep(0.005)"
        await cluster.create(
            PODS, pod("greedy", "python3", "-c", script, resources={"limits": {"memory": "40Mi"}})
        )
        item = await cluster.until(PODS, "greedy", ENDED)
        assert main_status(item)["state"]["terminated"]["reason"] == "OOMKilled"
        assert main_status(item)["state"]["terminated"]["exitCode"] == 137

    async def test_a_failing_container_restarts_once_at_once_and_then_waits(self, cluster: Watcher) -> None:
        await cluster.create(
            PODS, pod("crashing", "sh", "-c", "echo attempt; exit 1", spec={"restartPolicy": "Always"})
        )
        item = await cluster.until(PODS, "crashing", waiting_for("CrashLoopBackOff"))
        status = main_status(item)
        assert status["restartCount"] == 1
        assert status["lastState"]["terminated"]["exitCode"] == 1
        assert "back-off 10s restarting failed container=main" in status["state"]["waiting"]["message"]
        assert await cluster.log("crashing", previous="true") == "attempt\n"
        assert (
            "BackOff",
            f"Back-off restarting failed container main in pod crashing_default({item['metadata']['uid']})",
        ) in (await cluster.events("crashing"))
        await cluster.api.delete(PODS, "default", "crashing")

    async def test_a_deleted_pod_may_finish_within_its_grace_period(self, cluster: Watcher) -> None:
        script = "trap 'echo stopping; exit 0' TERM; echo up; while true; do sleep 0.1; done"
        await cluster.create(
            PODS, pod("polite", "sh", "-c", script, spec={"terminationGracePeriodSeconds": 20})
        )
        await cluster.until(PODS, "polite", phase_is("Running"))
        await cluster.api.delete(PODS, "default", "polite")
        item = await cluster.until(PODS, "polite", ENDED)
        assert main_status(item)["state"]["terminated"]["exitCode"] == 0
        await cluster.gone(PODS, "polite")


class TestWhyAContainerDoesNotStart:
    @pytest.mark.parametrize(
        ("name", "container", "reason", "words"),
        [
            (
                "never",
                {"image": "localhost/nosuch:1", "imagePullPolicy": "Never"},
                "ErrImageNeverPull",
                'Container image "localhost/nosuch:1" is not present with pull policy of Never',
            ),
            ("unknown", {"image": "localhost/nosuch:1"}, "ImagePullBackOff", "localhost/nosuch:1: not found"),
            (
                "refused",
                {"image": "127.0.0.1:1/nosuch:1"},
                "ImagePullBackOff",
                "dial tcp 127.0.0.1:1: connect: connection refused",
            ),
            (
                "unconfigured",
                {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "nosuch", "key": "a"}}}]},
                "CreateContainerConfigError",
                'configmap "nosuch" not found',
            ),
            (
                "root",
                {"securityContext": {"runAsNonRoot": True}},
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
            ),
        ],
        ids=["never-pulled", "unknown-image", "registry-away", "missing-config-map", "root-forbidden"],
    )
    async def test_the_status_says_it(
        self, cluster: Watcher, name: str, container: Object, reason: str, words: str
    ) -> None:
        await cluster.create(PODS, pod(name, **container))
        item = await cluster.until(PODS, name, waiting_for(reason))
        assert words in main_status(item)["state"]["waiting"]["message"]
        await cluster.api.delete(PODS, "default", name, grace=0)

    async def test_a_program_that_does_not_exist_is_a_start_error(self, cluster: Watcher) -> None:
        await cluster.create(PODS, pod("nosuch", "nosuchprogram"))
        item = await cluster.until(PODS, "nosuch", ENDED)
        ended = main_status(item)["state"]["terminated"]
        assert ended["reason"] == "StartError"
        assert ended["exitCode"] == 128
        assert 'exec: "nosuchprogram": executable file not found in $PATH' in ended["message"]


class TestInitContainersAndSideCars:
    async def test_they_start_in_order_and_a_side_car_ends_after_the_main_container(
        self, cluster: Watcher
    ) -> None:
        shared = [{"name": "shared", "mountPath": "/shared"}]
        image = {"image": "localhost/app:1", "volumeMounts": shared}
        side = (
            "trap 'exit 0' TERM; echo side-car >> /shared/order; touch /shared/up; "
            "while true; do sleep 0.05; done"
        )
        main = "while [ ! -e /shared/up ]; do sleep 0.05; done; echo main >> /shared/order; cat /shared/order"
        await cluster.create(
            PODS,
            pod(
                "ordered",
                "sh",
                "-c",
                main,
                volumeMounts=shared,
                spec={
                    "volumes": [{"name": "shared", "emptyDir": {}}],
                    "initContainers": [
                        {"name": "first", "command": ["sh", "-c", "echo first >> /shared/order"], **image},
                        {"name": "side", "restartPolicy": "Always", "command": ["sh", "-c", side], **image},
                    ],
                },
            ),
        )
        item = await cluster.until(PODS, "ordered", ENDED)
        assert item["status"]["phase"] == "Succeeded"
        assert await cluster.log("ordered", container="main") == "first\nside-car\nmain\n"
        assert [one["name"] for one in item["status"]["initContainerStatuses"]] == ["first", "side"]


class TestProbes:
    async def test_readiness_and_liveness_follow_what_the_container_answers(self, cluster: Watcher) -> None:
        serving = pod(
            "probed",
            "python3",
            "/app/serve.py",
            env=[{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            ports=[{"name": "http", "containerPort": 8080}],
            startupProbe={"tcpSocket": {"port": "http"}, "periodSeconds": 1, "failureThreshold": 30},
            readinessProbe={
                "httpGet": {"path": "/ready", "port": "http"},
                "periodSeconds": 1,
                "failureThreshold": 1,
            },
            livenessProbe={
                "httpGet": {"path": "/live", "port": "http"},
                "periodSeconds": 1,
                "failureThreshold": 1,
            },
            spec={"restartPolicy": "Always"},
        )
        await cluster.create(PODS, serving)
        await cluster.until(PODS, "probed", is_ready)
        assert await execute(cluster, "probed", "touch", "/tmp/unready") == ("", 0)
        await cluster.until(PODS, "probed", lambda item: not is_ready(item))
        assert await execute(cluster, "probed", "touch", "/tmp/dead") == ("", 0)
        item = await cluster.until(PODS, "probed", lambda item: main_status(item).get("restartCount") == 1)
        assert item["metadata"]["name"] == "probed"
        events = await cluster.events("probed")
        assert ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503") in events
        assert ("Killing", "Container main failed liveness probe, will be restarted") in events
        await cluster.api.delete(PODS, "default", "probed")


class TestExec:
    async def test_output_and_code_come_back(self, cluster: Watcher) -> None:
        await cluster.create(PODS, pod("target", "sleep", "600"))
        await cluster.until(PODS, "target", phase_is("Running"))
        assert await execute(cluster, "target", "sh", "-c", "echo out; exit 7") == ("out\n", 7)
        assert await execute(cluster, "target", "cat", send=b"typed\n") == ("typed\n", 0)
        assert await execute(cluster, "target", "id", "-u") == ("0\n", 0)
        assert await execute(cluster, "target", "tty", terminal=True) == ("/dev/pts/0\r\n", 0)
        await cluster.api.delete(PODS, "default", "target")

    async def test_who_attaches_to_an_ended_container_is_told_after_the_upgrade(
        self, cluster: Watcher
    ) -> None:
        await cluster.create(PODS, pod("over", "true"))
        await cluster.until(PODS, "over", ENDED)
        url = cluster.api.server + PODS.path("default", "over", "attach")
        headers = {"Authorization": "Bearer secret"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(url, params={"stdout": "true"}, protocols=("v5.channel.k8s.io",)) as socket,
        ):
            received = [message.data async for message in socket]
        assert [data[0] for data in received] == [1, 3]
        assert json.loads(received[1][1:])["message"].endswith("container is in CONTAINER_EXITED state")
        assert socket.close_code == 1000

    def test_an_attempt_on_its_way_has_no_log_and_no_streams_yet(self, tmp_path: Path) -> None:
        container = Container(tmp_path, "main", lambda: None)
        assert container.latest_started is None
        on_its_way = Attempt(tmp_path / "1", 1, "b", "image", "sha256:1")
        container.current = on_its_way
        assert container.latest_started is None
        container.previous = replace(on_its_way, number=0, ending=Ending(1, 0, "Error"))
        assert container.latest_started is container.previous
        container.current = replace(on_its_way, shim=ProcessId(1, 1))
        assert container.latest_started is container.current


class TestTheNode:
    async def test_it_renews_its_lease(self, cluster: Watcher) -> None:
        nodes = (await cluster.api.list(NODES))["items"]
        lease = await cluster.api.get(LEASES, "kube-node-lease", nodes[0]["metadata"]["name"])
        assert lease["metadata"]["ownerReferences"][0]["uid"] == nodes[0]["metadata"]["uid"]
        first = lease["spec"]["renewTime"]
        later = await cluster.until(
            LEASES,
            lease["metadata"]["name"],
            lambda item: item["spec"]["renewTime"] > first,
            namespace="kube-node-lease",
        )
        assert later["spec"]["holderIdentity"] == nodes[0]["metadata"]["name"]


async def execute(
    cluster: Watcher, name: str, *command: str, send: bytes = b"", terminal: bool = False
) -> tuple[str, int]:
    """Run a program through the API server, as kubectl exec does; returns stdout and the exit code."""
    query = [("command", part) for part in command] + [("stdout", "true"), ("stderr", "true")]
    query += [("stdin", "true")] if send else []
    query += [("tty", "true")] if terminal else []
    headers = {"Authorization": "Bearer secret"}
    url = cluster.api.server + PODS.path("default", name, "exec")
    out, status = b"", {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(url, params=query, protocols=("v5.channel.k8s.io",)) as socket,
    ):
        if send:
            await socket.send_bytes(b"\x00" + send)
            await socket.send_bytes(b"\xff\x00")
        async for message in socket:
            if message.data[0] == 1:
                out += message.data[1:]
            elif message.data[0] == 3:
                status = json.loads(message.data[1:])
    if status.get("status") == "Success":
        return out.decode(), 0
    return out.decode(), int(status["details"]["causes"][0]["message"])
