"""The desk that everybody in an event loop shares: opened by the first, closed by the last."""

from __future__ import annotations

import asyncio

import pytest

from platform_ops import wiring
from platform_ops.core.errors import PermanentError


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server listens there: opening a desk asks nobody anything."""
    monkeypatch.setenv("PLATFORM_OPS_LEDGER_DSN", "postgresql://nobody@127.0.0.1:1/none")


def is_open(desk: wiring.Desk) -> bool:
    return not desk._http.is_closed


async def test_two_hundred_have_one_desk_and_the_last_one_closes_it() -> None:
    entered, leave, desks = asyncio.Semaphore(0), asyncio.Event(), []

    async def use() -> None:
        async with wiring.connect_shared() as desk:
            desks.append(desk)
            entered.release()
            await leave.wait()

    users = [asyncio.create_task(use()) for _ in range(200)]
    for _ in users:
        await entered.acquire()
    first, *others = users
    assert len(set(map(id, desks))) == 1
    desk = desks[0]
    first.cancel()
    await asyncio.wait((first,))
    assert is_open(desk), "one that leaves, also by a cancel, closes it for nobody"
    leave.set()
    await asyncio.gather(*others)
    assert not is_open(desk)


async def test_it_is_made_for_many() -> None:
    async with wiring.connect_shared() as desk, wiring.connect() as own:
        assert desk._for_many
        assert own is not desk
        assert not own._for_many


async def test_who_comes_after_the_last_one_has_a_new_desk() -> None:
    async with wiring.connect_shared() as before:
        pass
    async with wiring.connect_shared() as after:
        assert after is not before
        assert is_open(after)


async def test_who_comes_while_the_last_one_closes_it_has_a_desk_that_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closing, go_on = asyncio.Event(), asyncio.Event()
    close = wiring.Desk.aclose

    async def slowly(desk: wiring.Desk) -> None:
        closing.set()
        await go_on.wait()
        await close(desk)

    monkeypatch.setattr(wiring.Desk, "aclose", slowly)

    async def use_once() -> wiring.Desk:
        async with wiring.connect_shared() as desk:
            return desk

    async def use_open() -> tuple[wiring.Desk, bool]:
        async with wiring.connect_shared() as desk:
            return desk, is_open(desk)

    last = asyncio.create_task(use_once())
    await closing.wait()
    late = asyncio.create_task(use_open())
    await asyncio.sleep(0)
    go_on.set()
    desk, was_open = await late
    assert was_open
    assert desk is not await last


async def test_an_error_of_one_user_closes_it_for_nobody_and_a_failed_opening_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with wiring.connect_shared() as desk:
        with pytest.raises(ZeroDivisionError):
            async with wiring.connect_shared():
                raise ZeroDivisionError
        assert is_open(desk)
    with monkeypatch.context() as broken:
        broken.delenv("PLATFORM_OPS_LEDGER_DSN")
        with pytest.raises(PermanentError, match="PLATFORM_OPS_LEDGER_DSN is not set"):
            await wiring.connect_shared().__aenter__()
    async with wiring.connect_shared() as mended:
        assert is_open(mended)


def test_another_event_loop_has_a_desk_of_its_own() -> None:
    async def use() -> None:
        async with wiring.connect_shared() as desk:
            assert is_open(desk)

    asyncio.run(use())
    asyncio.run(use())
