"""A lease on one rollout: renewed in the background while somebody acts, given back at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from platform_ops.core.errors import StaleHolder, TemporaryError
from platform_ops.core.ports import Clock
from platform_ops.core.state import Rollout

from .ledger import Ledger

LEASE = timedelta(seconds=10)
"""How long a dead holder keeps others waiting. Never scaled by a profile."""


class Lease:
    """`rollout` is the row as claimed: its token fences every effect of this holder."""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        self.lost: StaleHolder | None = None

    @property
    def token(self) -> int:
        return self.rollout.token

    def check(self) -> None:
        """Raises StaleHolder once the renewal learned that somebody else took over."""
        if self.lost is not None:
            raise self.lost


class Unrenewed:
    """Leases of others as this process saw them. One that nobody renewed for as long as a lease lasts is
    over, whatever its end says: a holder whose clock was ahead wrote it, and is gone."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[datetime, datetime]] = {}

    def end(self, rollout: Rollout, now: datetime) -> datetime | None:
        """The written end of a lease that is over all the same; None: it may be alive."""
        until = rollout.lease_until
        if until is None:
            return None
        seen, since = self._seen.get(rollout.id, (None, now))
        if seen != until:
            since = now
        self._seen[rollout.id] = until, since
        return until if now - since > LEASE else None


@asynccontextmanager
async def leased(
    ledger: Ledger, rollout_id: str, holder: str, clock: Clock, *, unrenewed: datetime | None = None
) -> AsyncIterator[Lease]:
    """Raises Held while somebody else's lease is alive; one that ends at `unrenewed` is not.

    While the ledger is away the lease may run out; the next write with the old token then says so.
    """
    now = clock.now()
    over = max(now, unrenewed) if unrenewed else now
    lease = Lease(await ledger.rollouts.claim(rollout_id, holder, over, now + LEASE))
    renewal = asyncio.create_task(_renew(ledger, lease, clock), name=f"lease of {rollout_id}")
    try:
        yield lease
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError):
            await renewal
        with suppress(TemporaryError):
            await ledger.rollouts.release(rollout_id, lease.token, clock.now())


async def _renew(ledger: Ledger, lease: Lease, clock: Clock) -> None:
    while True:
        await clock.sleep(LEASE / 4)
        try:
            await ledger.rollouts.renew(lease.rollout.id, lease.token, clock.now() + LEASE)
        except TemporaryError:
            continue
        except StaleHolder as error:
            lease.lost = error
            return
