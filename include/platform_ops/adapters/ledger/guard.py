"""The guard that stands at the effect: no traffic for a digest without its approvals (design, rule 2)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from platform_ops.core.approvals import Grant, void_reasons
from platform_ops.core.digest_holds import require_free
from platform_ops.core.errors import NotApproved
from platform_ops.core.evidence import Evidence
from platform_ops.core.ports import Clock
from platform_ops.core.release import Target

from .approvals import Standing
from .ledger import Ledger

Entitled = Callable[[str], Collection[str]]
"""Role → who holds it now."""


class LedgerApprovals:
    """Implements `core.ports.Approvals`. Environments that require nobody hold a grant with an empty rule.

    A release that starts needs votes that stand: the same outcomes of gates as when they were counted, young
    enough, by people who still have the role. One that serves or served there needs its grant alone: it goes
    on in mid-shift, and going back never waits for a vote.
    """

    def __init__(self, ledger: Ledger, clock: Clock, entitled: Entitled) -> None:
        self._ledger = ledger
        self._clock = clock
        self._entitled = entitled

    async def ensure_allowed(self, target: Target, digest: str) -> None:
        standing = await self._ledger.approvals.standing(target.service, target.environment, digest)
        if standing.grant is None:
            raise NotApproved(
                f"The ledger holds no approval of {digest} for {target.key}: its traffic stays as it is. "
                "Promote the release and let the people that the catalog names approve it."
            )
        await self._ensure_not_on_hold(target, digest)
        if standing.carried:
            return
        if reasons := await self._void(standing, standing.grant):
            raise NotApproved(f"{digest} does not start in {target.key}: {'; '.join(reasons)}")

    async def _ensure_not_on_hold(self, target: Target, digest: str) -> None:
        """What went back does not rise again, unless that is itself going back: it served there."""
        table = self._ledger.digest_holds
        held = await table.standing(target.service, target.environment, digest)
        if held and not await table.served(target.service, target.environment, digest):
            require_free(held, target.key, digest)

    async def _void(self, standing: Standing, grant: Grant) -> tuple[str, ...]:
        """Why the grant is void; what is found is written down, and then stays so."""
        if standing.voids:
            return tuple(void.why for void in standing.voids)
        now = self._clock.now()
        reasons = void_reasons(
            grant,
            standing.votes,
            {role: self._entitled(role) for role in grant.required},
            await self._evidence(grant),
            now,
        )
        await self._ledger.approvals.void(grant.promotion_id, grant.digest, reasons, now)
        return reasons

    async def _evidence(self, grant: Grant) -> Evidence:
        promotion = await self._ledger.promotions.get(grant.promotion_id)
        return await self._ledger.evidence(promotion)
