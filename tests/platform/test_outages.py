"""Parts of the platform die in mid-rollout: the traffic stays where it is, and the work goes on by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from crashing import kill_everything
from own_platform import WITHOUT_AIRFLOW, OwnPlatform
from releasing import SERVICE, Place, done, page_ids, shares, until

from platform_ops.core.paging import Page
from platform_ops.core.plan import Step
from platform_ops.core.records import Entry
from platform_ops.core.release import Weights
from platform_ops.core.state import Phase

pytestmark = pytest.mark.platform

OUTAGE = 60.0
"""Seconds for which a part is away."""
ALONE = 20.0
"""Seconds for which it is the only one: longer than the lease, and than the triggers' windows, of 10 s."""

STEPS = tuple(Step(weight, timedelta(seconds=hold)) for weight, hold in ((5, 1), (25, 4), (50, 1), (100, 0)))
CHANNEL = f"#{SERVICE}-alerts"


async def test_prometheus_ledger_and_chat_are_away_for_a_minute_each_and_the_work_goes_on_by_itself(
    platform: OwnPlatform, place: Place
) -> None:
    """The chat is away all the time; beside it at first only Prometheus, at the end only the ledger."""
    await place.serving()
    rollout_id = await place.open(await place.built(), steps=STEPS, extension=timedelta(minutes=10))
    await place.desk.ledger.rollouts.raise_goal(rollout_id, Phase.PROMOTED)
    page = _page(rollout_id)
    with place.watched() as seen:
        async with _standby(place):
            await until("25 % of the traffic is shifted", lambda: _at_step(place, rollout_id, 1))
            async with _down(platform, "inbox"):
                assert await place.desk.ledger.outbox.enqueue(page)
                async with _one_after_the_other(platform, "prometheus", "postgres") as outages:
                    stayed, answers = await _seen_during(place, outages)
            await until("the new version is promoted", lambda: _promoted(place, rollout_id), limit=150)
            await until("the page is marked as sent", lambda: _sent(place, page.key))
            await place.desk.pager.deliver(page.key)
    colour = (await place.desk.ledger.rollouts.get(rollout_id)).colour
    assert shares(stayed, colour) == [25]
    assert {answer.partition(" ")[2] for answer in answers} == {"200"}
    assert shares(seen, colour) == [0, 5, 25, 50, 100]
    shifted = _shifts(await place.journal(rollout_id))
    assert len(shifted) == len(set(shifted)) == 4
    assert page_ids(platform.pages(CHANNEL)).count(page.key) == 1


async def test_a_platform_killed_as_a_whole_in_mid_rollout_ends_on_the_old_or_the_verified_new_version(
    platform: OwnPlatform, place: Place
) -> None:
    """Everything but the standby's work is in the ledger and the cluster's store."""
    old, old_colour = await place.serving()
    new = await place.built()
    rollout_id = await place.open(new, steps=STEPS)
    await place.desk.ledger.rollouts.raise_goal(rollout_id, Phase.PROMOTED)
    with _standby_process(platform):
        await until("25 % of the traffic is shifted", lambda: _at_step(place, rollout_id, 1))
        await asyncio.to_thread(kill_everything, platform)
        await asyncio.to_thread(platform.up, *WITHOUT_AIRFLOW, "controller")
        await until("the rollout is over", lambda: _over(place, rollout_id))
    rollout = await place.desk.ledger.rollouts.get(rollout_id)
    serves = rollout.colour if rollout.phase.reached(Phase.PROMOTED) else old_colour
    assert place.weights() == Weights.towards(serves, 100)
    assert set(await place.colours()) == {f"{serves} 200"}
    digest = place.deployments()[place.target.deployment(serves)]
    assert digest == (new.digest if serves is rollout.colour else old.digest)
    journal = await place.journal(rollout_id)
    shifted = _shifts(journal)
    assert len(shifted) == len(set(shifted)), "a shift was repeated"
    tokens = [entry.token for entry in journal if entry.token]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) == 2, "one holder before, one after"


# -------------------------------------------------------------------- what a test does to the platform
@asynccontextmanager
async def _down(platform: OwnPlatform, part: str) -> AsyncIterator[None]:
    await asyncio.to_thread(platform.kill, part)
    try:
        yield
    finally:
        await asyncio.to_thread(platform.up, part)


@asynccontextmanager
async def _one_after_the_other(platform: OwnPlatform, *parts: str) -> AsyncIterator[asyncio.Future[Any]]:
    """Each part dies ALONE seconds after the one before and is back after OUTAGE seconds; the future ends
    when the last one is back."""
    starting = asyncio.Lock()

    async def away(part: str, delay: float) -> None:
        await asyncio.sleep(delay)
        await asyncio.to_thread(platform.kill, part)
        try:
            await asyncio.sleep(OUTAGE)
        finally:
            async with starting:
                await asyncio.to_thread(platform.up, part)

    outages = asyncio.gather(*(away(part, number * ALONE) for number, part in enumerate(parts)))
    try:
        yield outages
    finally:
        await outages


@asynccontextmanager
async def _standby(place: Place) -> AsyncIterator[None]:
    """`ops controller` in this process; a page is overdue after 5 s instead of 60."""
    stop = asyncio.Event()

    async def deliver() -> None:
        await place.desk.pager.deliver_unsent(timedelta(seconds=5))

    running = asyncio.create_task(place.desk.controller.standby("standby", stop, [deliver]))
    try:
        yield
    finally:
        stop.set()
        await running


@contextmanager
def _standby_process(platform: OwnPlatform) -> Iterator[None]:
    """The platform's own `ops controller`, gone afterwards unless it ran before."""
    ran_before = bool(platform.pids("controller"))
    platform.up("controller")
    try:
        yield
    finally:
        if not ran_before and platform.pids("controller"):
            platform.kill("controller")


# -------------------------------------------------------------------- what is seen meanwhile
async def _seen_during(place: Place, outages: asyncio.Future[Any]) -> tuple[list[Weights], Counter[str]]:
    """Distinct weights of the route, and what users get, until the last part may start again."""
    seen: list[Weights] = []
    answers = Counter[str]()
    end = asyncio.get_running_loop().time() + OUTAGE + ALONE
    while not outages.done() and asyncio.get_running_loop().time() < end:
        weights = await asyncio.to_thread(place.weights)
        if weights not in seen:
            seen.append(weights)
        answers += await place.colours(number=4)
        await asyncio.sleep(1)
    return seen, answers


async def _at_step(place: Place, rollout_id: str, step: int) -> bool:
    rollout = await place.desk.ledger.rollouts.get(rollout_id)
    return rollout.step == step and rollout.since is not None


async def _promoted(place: Place, rollout_id: str) -> bool:
    return (await place.desk.ledger.rollouts.get(rollout_id)).phase.reached(Phase.PROMOTED)


async def _over(place: Place, rollout_id: str) -> bool:
    phase = (await place.desk.ledger.rollouts.get(rollout_id)).phase
    assert phase is not Phase.NEEDS_ATTENTION
    return phase is Phase.ROLLED_BACK or phase.reached(Phase.PROMOTED)


async def _sent(place: Place, key: str) -> bool:
    return (await place.desk.ledger.outbox.get(key)).sent_at is not None


def _shifts(journal: tuple[Entry, ...]) -> list[str]:
    return [entry.why for entry in done(journal, "Shift")]


def _page(rollout_id: str) -> Page:
    return Page(
        key=f"outage-{rollout_id}",
        service=SERVICE,
        environment="production",
        title="A page of this test",
        happened="The chat was down when it was written.",
        done="It was kept.",
        todo="Nothing.",
        log_url="http://airflow.example.com/log",
        channel=CHANNEL,
    )
