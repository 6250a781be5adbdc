"""What the outcome of a gate in a pod depends on: the order that its runner gets, and a digest of it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from platform_ops.catalog.gating import SourceGates
from platform_ops.catalog.models import Catalog
from platform_ops.catalog.policy_models import GatePolicy
from platform_ops.core.gates import SUITES, input_digest
from platform_ops.core.ports import SourceRepository


@dataclass(frozen=True)
class GateInputs:
    source: SourceRepository
    catalog: Catalog
    policy: GatePolicy
    image: Callable[[], str]
    """The gate runner's image by digest; raises PermanentError where the settings name none."""

    def order(self, service: str, gate: str) -> dict[str, Any]:
        """What the gate runner is asked for, from catalog and policy."""
        entry = self.catalog.service(service).gates
        suite = gate in SUITES
        order: dict[str, Any] = {
            "gate": gate,
            "tool": "pytest" if suite else getattr(entry, gate),
            "paths": _paths(entry, gate),
            "import_paths": list(entry.import_paths),
            "seconds": int(self.policy.limit(gate).total_seconds()),
        }
        if suite:
            return {**order, "covered": list(entry.covered), "skips_allowed": entry.skips_allowed}
        if gate == "types":
            return {**order, "strict": entry.strict_types}
        return {**order, "line_length": entry.line_length}

    async def digest(self, service: str, commit: str, gate: str) -> str:
        """Equal digests give equal results. Raises the repository's errors."""
        return input_digest(
            tree=await self.source.tree_of(service, commit),
            image=self.image().rpartition("@")[2],
            order=self.order(service, gate),
            policy=self.policy.version,
        )


def _paths(entry: SourceGates, gate: str) -> list[str]:
    if gate in SUITES:
        return list(getattr(entry, gate))
    return list(entry.typed if gate == "types" else entry.paths)
