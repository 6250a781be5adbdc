"""The node: pods as processes, and the controllers of the cluster double."""

from __future__ import annotations

import sys
from typing import ClassVar

from local_platform.cluster_access import ClusterAccess
from local_platform.services.http import get
from local_platform.services.part import Command, Part, run_step


class Node(Part):
    name: ClassVar[str] = "node"
    needs: ClassVar[tuple[str, ...]] = ("cluster", "registry")
    ports: ClassVar[tuple[str, ...]] = ("node",)
    adopts: ClassVar[bool] = True
    stop_seconds: ClassVar[float] = 20.0

    def _argv(self) -> list[str]:
        options = [
            f"--kubeconfig={ClusterAccess(self.platform).kubeconfig('node')}",
            f"--data={self.platform.layout.data(self.name)}",
            f"--port={self.platform.ports['node']}",
        ]
        return [sys.executable, "-m", "local_platform.node", *options]

    def command(self) -> Command:
        access, registry = ClusterAccess(self.platform), self.platform.address("registry")
        options = [f"--token-file={access.node_token_file}", f"--registry-plain-http={registry}"]
        return Command([*self._argv(), *options])

    def probe(self) -> None:
        token = self.platform.secrets["node-agent"]
        get(self.platform.url("node") + "/stats", headers={"Authorization": f"Bearer {token}"})

    def after_stop(self) -> None:
        run_step([*self._argv(), "--stop-all"], env=self.platform.environment(), what="stopping the pods")
