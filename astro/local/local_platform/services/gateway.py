"""The gateway: the process that turns HTTPRoutes into Envoy's configuration, with Envoy as its child."""

from __future__ import annotations

import sys
from typing import ClassVar

from local_platform.cluster_access import ClusterAccess
from local_platform.services.http import get
from local_platform.services.part import Command, Part


class Gateway(Part):
    name: ClassVar[str] = "gateway"
    needs: ClassVar[tuple[str, ...]] = ("objects",)
    ports: ClassVar[tuple[str, ...]] = ("gateway", "gateway-admin")
    # Envoy outlives a killed gateway process.
    adopts: ClassVar[bool] = True
    # It drains: requests in flight are finished before Envoy ends.
    stop_seconds: ClassVar[float] = 20.0

    def command(self) -> Command:
        options = [
            f"--kubeconfig={ClusterAccess(self.platform).kubeconfig('gateway')}",
            f"--data={self.platform.layout.data(self.name)}",
            f"--port={self.platform.ports['gateway']}",
            f"--admin-port={self.platform.ports['gateway-admin']}",
        ]
        return Command([sys.executable, "-m", "local_platform.gateway", *options])

    def probe(self) -> None:
        get(self.platform.url("gateway-admin") + "/ready")
