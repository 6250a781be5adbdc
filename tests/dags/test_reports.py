"""A run that the controller started tells of the controller's own rollback, and does nothing else."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from own_airflow import OwnAirflow
from own_platform import OwnPlatform

from platform_ops import wiring
from platform_ops.core.paging import page_key
from platform_ops.core.records import Entry
from platform_ops.core.release import Release
from platform_ops.core.reports import report_of
from platform_ops.core.state import Phase, Rollout

pytestmark = pytest.mark.platform

SERVICE, ENVIRONMENT = "llm-service", "staging"
DAG = f"rollback_{SERVICE}_{ENVIRONMENT}"
AFTER = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = f"manual__{AFTER.isoformat()}"
"""As Airflow names a run by its time."""


async def _ended_rollout() -> Rollout:
    """A rollout that went back before it touched the cluster, with its report asked for as the run above."""
    commit = secrets.token_hex(20)
    release = Release(SERVICE, "1.0.0", commit, f"sha256:{secrets.token_hex(32)}")
    async with wiring.connect() as desk:
        await desk.ledger.releases.add(release, built_by_run=f"test-{commit[:8]}")
        promotion = await desk.ledger.promotions.open(
            dag_id=f"promote_{SERVICE}_{ENVIRONMENT}",
            run_id=f"test-{commit[:8]}",
            service=SERVICE,
            environment=ENVIRONMENT,
            commit=commit,
            version=release.version,
            digest=release.digest,
            requested_by="developer",
            url="http://airflow.example.com/run",
        )
        for gate in desk.gate_policy.required(ENVIRONMENT).gates:
            subject = promotion.release.digest if gate == "image" else commit
            await desk.ledger.gates.record(
                service=SERVICE, subject=subject, gate=gate, outcome="passed", detail={}
            )
        rollout_id = await desk.controller.open(desk.rollout_request(promotion))
        await desk.controller.request_rollback(rollout_id, by="test", why="error-rate: 30 of 400 requests")
        await desk.controller.drive(rollout_id, goal=Phase.ROLLED_BACK, holder="test")
        rollout = await desk.ledger.rollouts.get(rollout_id)
        await desk.ledger.reports.ask(replace(report_of(rollout, desk.clock.now()), run_id=RUN))
        return rollout


def test_the_report_is_red_says_why_pages_once_and_goes_back_from_nothing(
    airflow: OwnAirflow, platform: OwnPlatform
) -> None:
    airflow.write_catalog()
    rollout = asyncio.run(_ended_rollout())
    before = asyncio.run(_journal(rollout.id))
    run = airflow.run(DAG, after=AFTER, reason="parameters say nothing here")
    assert run.run_id == RUN
    assert run.red
    assert run.with_state("failed") == {"roll_back", "watcher"}
    assert run.with_state("success") == {"page"}
    key = page_key(SERVICE, ENVIRONMENT, rollout.run_id)
    (page,) = [page for page in platform.pages() if page_id(page) == key]
    assert "error-rate: 30 of 400 requests" in page["text"]
    assert asyncio.run(_journal(rollout.id)) == before


async def _journal(rollout_id: str) -> tuple[Entry, ...]:
    async with wiring.connect() as desk:
        return await desk.ledger.journal.of_rollout(rollout_id)


def page_id(message: Mapping[str, Any]) -> str | None:
    found: str | None = message["body"].get("metadata", {}).get("event_payload", {}).get("page_id")
    return found
