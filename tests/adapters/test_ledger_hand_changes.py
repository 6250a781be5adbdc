"""Changes by hand in the ledger: one open row an event. The table, and the fake of the rules' tests."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from fakes import MIDNIGHT, MemoryHandChanges, MemoryJournal
from hand_scenes import ROLLOUT

from platform_ops.adapters.ledger import Ledger
from platform_ops.core.drift import Deed, HandChange, Outcome, Subject
from platform_ops.core.errors import PermanentError
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour

ID = "11111111-1111-1111-1111-111111111111"
CHANGE = HandChange(
    event="llm-service/production/selector/Route/uid:7",
    at=MIDNIGHT,
    service="llm-service",
    environment="production",
    rollout_id=ID,
    subject=Subject.SELECTOR,
    outcome=Outcome.FOLLOWED,
    deed=Deed.ROUTE,
    colour=Colour.BLUE,
    digest="sha256:" + "a" * 64,
    happened="The Service was pointed at blue.",
)
LATER = MIDNIGHT + timedelta(seconds=3)


def entry(kind: str) -> Entry:
    return Entry("llm-service", "production", MIDNIGHT, "standby", kind, "ByHandRoute", rollout_id=ID)


@pytest.fixture(params=["ledger", "fake"])
async def tables(request: pytest.FixtureRequest, ledger: Ledger) -> tuple[Any, Any]:
    """Hand changes and journal."""
    if request.param == "fake":
        journal = MemoryJournal()
        return MemoryHandChanges(journal), journal
    rollout = replace(ROLLOUT, id=ID)
    await ledger.rollouts.insert(rollout, replace(entry("note"), what="Open"))
    return ledger.hand_changes, ledger.journal


async def kinds(journal: Any) -> list[str]:
    return [one.kind for one in await journal.of_rollout(ID) if one.what == "ByHandRoute"]


async def test_whoever_sees_an_event_first_writes_it_and_all_get_the_same_row(
    tables: tuple[Any, Any],
) -> None:
    changes, journal = tables
    rows = await asyncio.gather(*(changes.begin(CHANGE, entry("intent")) for _ in range(3)))
    assert len({row.number for row in rows}) == 1
    assert replace(rows[0], number=0) == CHANGE
    assert await kinds(journal) == ["intent"]


async def test_it_ends_once(tables: tuple[Any, Any]) -> None:
    changes, journal = tables
    row = await changes.begin(CHANGE, entry("intent"))
    assert await changes.finish(row.number, Outcome.REFUSED, "It was put back.", LATER, entry("done"))
    assert not await changes.finish(row.number, Outcome.FOLLOWED, "", LATER, entry("done"))
    (kept,) = await changes.of_rollout(ID)
    assert (kept.outcome, kept.said, kept.ended_at) == (Outcome.REFUSED, "It was put back.", LATER)
    assert await kinds(journal) == ["intent", "done"]


async def test_the_same_again_after_its_end_is_a_new_row(tables: tuple[Any, Any]) -> None:
    changes, _ = tables
    first = await changes.begin(CHANGE, entry("intent"))
    await changes.finish(first.number, Outcome.FOLLOWED, "", LATER, entry("done"))
    second = await changes.begin(CHANGE, entry("intent"))
    assert second.number > first.number
    assert (await changes.newest(CHANGE.event)).ended_at is None
    assert await changes.newest("another") is None


async def test_what_another_version_judged_is_said_and_not_guessed(ledger: Ledger, owner_dsn: str) -> None:
    await ledger.rollouts.insert(replace(ROLLOUT, id=ID), replace(entry("note"), what="Open"))
    change = await ledger.hand_changes.begin(CHANGE, entry("intent"))
    async with await psycopg.AsyncConnection.connect(owner_dsn, autocommit=True) as newer:
        await newer.execute(
            "UPDATE ledger.hand_changes SET deed = 'Mirror' WHERE number = %s", (change.number,)
        )
    with pytest.raises(
        PermanentError, match=r"judged by another version of platform-ops .*: update this one"
    ):
        await ledger.hand_changes.of_rollout(ID)
