"""The ledger as one object: a group of methods per table group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from platform_ops.core.ports import Clock

from .approvals import ApprovalTable
from .database import Database
from .digest_holds import DigestHoldTable
from .journal import JournalTable
from .outbox import OutboxTable
from .promotions import GateTable, PromotionTable, ReleaseTable
from .reports import ReportTable
from .rollouts import RolloutTable


@dataclass(frozen=True)
class Ledger:
    releases: ReleaseTable
    promotions: PromotionTable
    gates: GateTable
    approvals: ApprovalTable
    rollouts: RolloutTable
    journal: JournalTable
    outbox: OutboxTable
    reports: ReportTable
    digest_holds: DigestHoldTable

    @classmethod
    @asynccontextmanager
    async def connect(cls, dsn: str, clock: Clock) -> AsyncIterator[Ledger]:
        """`dsn` is the application role's. Nothing is asked of the server before the first method is."""
        async with Database.connect(dsn) as database:
            yield cls(
                ReleaseTable(database, clock),
                PromotionTable(database, clock),
                GateTable(database, clock),
                ApprovalTable(database),
                RolloutTable(database),
                JournalTable(database),
                OutboxTable(database, clock),
                ReportTable(database, clock),
                DigestHoldTable(database),
            )
