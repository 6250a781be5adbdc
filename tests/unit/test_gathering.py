"""Many questions of one moment are one call; nobody waits for an answer that never comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from platform_ops.adapters.gathering import Gathering
from platform_ops.core.errors import Refused, Unavailable


class Squares:
    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    async def __call__(self, keys: Sequence[int]) -> dict[int, int]:
        self.calls.append(tuple(keys))
        await asyncio.sleep(0)
        return {key: key * key for key in keys}


async def test_questions_of_one_moment_are_one_call_and_each_key_is_asked_once() -> None:
    squares = Squares()
    gathering = Gathering(squares)
    assert await asyncio.gather(*(gathering.ask(n) for n in (1, 2, 3, 2))) == [1, 4, 9, 4]
    assert squares.calls == [(1, 2, 3)]


async def test_a_later_question_is_a_call_of_its_own() -> None:
    squares = Squares()
    gathering = Gathering(squares)
    assert await gathering.ask(2) == 4
    assert await gathering.ask(2) == 4
    assert squares.calls == [(2,), (2,)]


async def test_a_full_call_does_not_wait_for_the_window() -> None:
    squares = Squares()
    gathering = Gathering(squares, window=3600, at_most=2)
    async with asyncio.timeout(5):
        assert await asyncio.gather(gathering.ask(1), gathering.ask(2)) == [1, 4]


async def test_no_call_holds_more_than_it_may_however_many_ask_in_one_moment() -> None:
    squares = Squares()
    gathering = Gathering(squares, window=0.01, at_most=3)
    assert await asyncio.gather(*(gathering.ask(n) for n in range(7))) == [n * n for n in range(7)]
    assert squares.calls == [(0, 1, 2), (3, 4, 5), (6,)]


async def test_what_the_call_raises_everybody_gets_and_the_next_one_is_tried_again() -> None:
    answers = iter([Unavailable("away"), {1: 10, 2: 20}])

    async def answer(keys: Sequence[int]) -> dict[int, int]:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    gathering = Gathering(answer)
    outcomes = await asyncio.gather(gathering.ask(1), gathering.ask(2), return_exceptions=True)
    assert [str(one) for one in outcomes] == ["away", "away"]
    assert await gathering.ask(1) == 10


async def test_an_error_of_one_key_is_that_keys_alone() -> None:
    async def answer(keys: Sequence[int]) -> dict[int, int | BaseException]:
        return {key: Refused("odd") if key % 2 else key for key in keys}

    gathering = Gathering(answer)
    outcomes = await asyncio.gather(*(gathering.ask(n) for n in (1, 2)), return_exceptions=True)
    assert [str(one) for one in outcomes] == ["odd", "2"]


async def test_somebody_who_gives_up_takes_the_answer_from_nobody() -> None:
    squares = Squares()
    gathering = Gathering(squares)
    impatient = asyncio.create_task(gathering.ask(3))
    patient = asyncio.create_task(gathering.ask(3))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == 9
    with pytest.raises(asyncio.CancelledError):
        await impatient
