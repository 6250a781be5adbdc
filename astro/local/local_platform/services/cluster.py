"""The cluster double: its API server, and the node that runs pods as processes and hosts the controllers."""

from __future__ import annotations

import ssl
import sys
from typing import ClassVar

from local_platform.cluster_access import ClusterAccess
from local_platform.services.http import get
from local_platform.services.part import Command, Part


class Cluster(Part):
    name: ClassVar[str] = "cluster"
    ports: ClassVar[tuple[str, ...]] = ("cluster",)

    def prepare(self) -> None:
        ClusterAccess(self.platform).write()

    def command(self) -> Command:
        access = ClusterAccess(self.platform)
        options = [
            f"--data={self.platform.layout.data(self.name)}",
            f"--port={self.platform.ports['cluster']}",
            f"--tokens={access.tokens}",
            f"--tls-cert={access.certificate}",
            f"--tls-key={access.key}",
            f"--ca-cert={access.ca}",
            f"--node-token-file={access.node_token_file}",
        ]
        return Command([sys.executable, "-m", "local_platform.cluster", *options])

    def probe(self) -> None:
        access = ClusterAccess(self.platform)
        context = ssl.create_default_context(cafile=str(access.ca))
        get(
            f"{access.url}/readyz",
            headers={"Authorization": f"Bearer {access.token('admin')}"},
            verify=context,
        )

    def where(self) -> str:
        return f"kubectl --kubeconfig {ClusterAccess(self.platform).kubeconfig('admin')}"
