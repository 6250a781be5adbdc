"""The printer of each kind, as in pkg/printers/internalversion of Kubernetes 1.36."""

from __future__ import annotations

from .cluster_printers import CLUSTER, CREATED_AT
from .columns import Column, Printer
from .traffic_printers import TRAFFIC
from .workload_printers import WORKLOADS

PRINTERS: dict[str, Printer] = {**WORKLOADS, **TRAFFIC, **CLUSTER}

__all__ = ["CREATED_AT", "PRINTERS", "Column", "Printer"]
