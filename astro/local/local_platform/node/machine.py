"""The Node object: what this machine offers, and that it is alive."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
import sys
from pathlib import Path

from local_platform.cluster.controllers.api import ApiClient, ApiError, ApiUnavailableError
from local_platform.cluster.controllers.recorder import now_text
from local_platform.cluster.controllers.resources import NODES, Object
from local_platform.node.container import runtime_environment

log = logging.getLogger(__name__)

HEARTBEAT = 20.0
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TRY_NAMESPACES = (
    "from local_platform.node.runtime import sandbox, kernel; sandbox.enter_user_and_pid_namespaces(); "
    "kernel.unshare(kernel.CLONE_NEWNS); kernel.mount('none', '/', flags=kernel.MS_REC | kernel.MS_PRIVATE)"
)


async def why_no_namespaces() -> str:
    """Empty when this user may make user and mount namespaces; otherwise what forbids it and what to do."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-S",
        "-s",
        "-c",
        _TRY_NAMESPACES,
        env=runtime_environment(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    if process.returncode == 0:
        return ""
    why = err.decode(errors="replace").strip().splitlines()[-1:]
    return (
        f"this machine forbids user namespaces ({''.join(why)}), so no pod can run here; "
        "set sysctl user.max_user_namespaces=15000 and kernel.apparmor_restrict_unprivileged_userns=0, "
        "or run the container that holds this process with --privileged"
    )


def capacity(folder: Path) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    return {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": f"{shutil.disk_usage(folder).total // 1024}Ki",
        "memory": f"{memory}Ki",
        "pods": "110",
    }


class NodeObject:
    """Writes the Node and keeps its heartbeat."""

    def __init__(
        self,
        client: ApiClient,
        name: str,
        address: str,
        port: int,
        folder: Path,
        trouble: str,
        labels: dict[str, str],
    ) -> None:
        self._client = client
        self._name = name
        self._address = address
        self._port = port
        self._capacity = capacity(folder)
        self._trouble = trouble
        self._labels = labels
        self._changed = now_text()

    async def run(self) -> None:
        """Register, then beat for ever. An API server that is away is waited for."""
        while True:
            try:
                await self._beat()
                pause = HEARTBEAT
            except (ApiError, ApiUnavailableError) as error:
                log.info("node heartbeat: %s", error)
                pause = 1.0
            await asyncio.sleep(pause)

    async def _beat(self) -> None:
        node = await self._client.find(NODES, "", self._name)
        if node is None:
            node = await self._client.create(NODES, "", self._description())
        ready = {one["type"]: one for one in (node.get("status") or {}).get("conditions") or []}.get(
            "Ready", {}
        )
        if ready.get("status") == ("False" if self._trouble else "True"):
            self._changed = ready.get("lastTransitionTime") or self._changed
        await self._client.patch(NODES, "", self._name, {"status": self._status()}, subresource="status")

    def _description(self) -> Object:
        machine = ARCHITECTURES.get(platform.machine(), platform.machine())
        labels = {
            "beta.kubernetes.io/arch": machine,
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": machine,
            "kubernetes.io/hostname": self._name,
            "kubernetes.io/os": "linux",
        }
        return {"metadata": {"name": self._name, "labels": {**labels, **self._labels}}}

    def _status(self) -> Object:
        return {
            "capacity": self._capacity,
            "allocatable": self._capacity,
            "conditions": self._conditions(),
            "addresses": [
                {"type": "InternalIP", "address": self._address},
                {"type": "Hostname", "address": self._name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
                "kernelVersion": platform.release(),
                "osImage": _os_name(),
                "containerRuntimeVersion": "process://1.0.0",
                "kubeletVersion": "v1.36.2",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            },
        }

    def _conditions(self) -> list[Object]:
        healthy = [
            ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ]
        result = [(kind, "False", reason, message) for kind, reason, message in healthy]
        if self._trouble:
            result.append(("Ready", "False", "UserNamespacesForbidden", self._trouble))
        else:
            result.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
        now = now_text()
        return [
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": now,
                "lastTransitionTime": self._changed,
                "reason": reason,
                "message": message,
            }
            for kind, status, reason, message in result
        ]


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
