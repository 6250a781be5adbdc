"""The guard that stands at the effect: no traffic for a digest without its approvals (design, rule 2)."""

from __future__ import annotations

from platform_ops.core.errors import NotApproved
from platform_ops.core.release import Target

from .ledger import Ledger


class LedgerApprovals:
    """Implements `core.ports.Approvals`. A grant is immutable, so going back to a digest that was approved
    once never waits for a vote; environments that require nobody hold a grant with an empty rule."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def ensure_allowed(self, target: Target, digest: str) -> None:
        if await self._ledger.approvals.granted(target.service, target.environment, digest) is None:
            raise NotApproved(
                f"The ledger holds no approval of {digest} for {target.key}: its traffic stays as it is. "
                "Promote the release and let the people that the catalog names approve it."
            )
