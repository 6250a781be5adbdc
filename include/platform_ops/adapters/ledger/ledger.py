"""The ledger as one object: a group of methods per table group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from platform_ops.core.evidence import Evidence
from platform_ops.core.ports import Clock
from platform_ops.core.records import Promotion

from .approvals import ApprovalTable
from .database import Database
from .digest_holds import DigestHoldTable
from .hand_changes import HandChangeTable
from .hotfixes import HotfixTable
from .incidents import IncidentTable
from .journal import JournalTable
from .outbox import OutboxTable
from .promotions import GateTable, PromotionTable, ReleaseTable
from .reports import ReportTable
from .rollouts import RolloutTable
from .source import SourceTable


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
    source: SourceTable
    hotfixes: HotfixTable
    hand_changes: HandChangeTable
    incidents: IncidentTable
    digest_holds: DigestHoldTable

    @classmethod
    @asynccontextmanager
    async def connect(cls, dsn: str, clock: Clock, *, gather: float = 0.0) -> AsyncIterator[Ledger]:
        """`dsn` is the application role's. Nothing is asked of the server before the first method is.

        `gather`: seconds that a read of a rollout may wait for others, to be one query with them.
        """
        async with Database.connect(dsn) as database:
            yield cls(
                ReleaseTable(database, clock),
                PromotionTable(database, clock),
                GateTable(database, clock),
                ApprovalTable(database),
                RolloutTable(database, gather),
                JournalTable(database),
                OutboxTable(database, clock),
                ReportTable(database, clock),
                SourceTable(database, clock),
                HotfixTable(database, clock),
                HandChangeTable(database),
                IncidentTable(database, clock),
                DigestHoldTable(database),
            )

    async def evidence(self, promotion: Promotion) -> Evidence:
        """The newest outcomes of the gates for the promotion's commit and digest."""
        subjects = [subject for subject in (promotion.commit, promotion.digest) if subject]
        return Evidence.of(await self.gates.of(promotion.service, subjects))
