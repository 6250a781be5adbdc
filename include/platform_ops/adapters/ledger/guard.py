"""The guard that stands at the effect: no traffic for a digest without its approvals (design, rule 2)."""

from __future__ import annotations

from platform_ops.core.digest_holds import require_free
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
        await self._ensure_not_on_hold(target, digest)

    async def _ensure_not_on_hold(self, target: Target, digest: str) -> None:
        """What went back does not rise again, unless a rollout goes back to it: then it served before
        that."""
        table = self._ledger.digest_holds
        held = await table.standing(target.service, target.environment, digest)
        if held and not await table.goes_back(target.service, target.environment, digest):
            require_free(held, target.key, digest)
