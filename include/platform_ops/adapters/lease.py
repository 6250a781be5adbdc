"""A lease on one rollout: renewed in the background while somebody acts, given back at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

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


@asynccontextmanager
async def leased(ledger: Ledger, rollout_id: str, holder: str, clock: Clock) -> AsyncIterator[Lease]:
    """Raises Held while somebody else's lease is alive.

    While the ledger is away the lease may run out; the next write with the old token then says so.
    """
    now = clock.now()
    lease = Lease(await ledger.rollouts.claim(rollout_id, holder, now, now + LEASE))
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
