"""Gathers what many ask at the same moment into one call: 200 rollouts must not send 200 queries a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

WINDOW = 0.05
"""Seconds that the first one waits for others."""


class Gathering(Generic[K, V]):
    """`ask(key)` waits for `answer(keys)`, which is called once for all keys of a window, each once; of more
    than `at_most` keys, once for each portion of so many.

    `answer` returns a value for every key, or the error of that key alone; what it raises, everybody gets who
    asked in that window.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[K]], Awaitable[Mapping[K, V | BaseException]]],
        *,
        window: float = WINDOW,
        at_most: int = 100,
    ) -> None:
        self._answer = answer
        self._window = window
        self._at_most = at_most
        self._asked: dict[K, asyncio.Future[V]] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def ask(self, key: K) -> V:
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.get_running_loop().create_future()
            if len(self._asked) == 1:
                self._later(self._window)
            elif len(self._asked) == self._at_most:
                self._later(0)
        # Somebody who stops waiting must not take the answer from the others.
        return await asyncio.shield(asked)

    def _later(self, seconds: float) -> None:
        call = asyncio.create_task(self._call(seconds))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _call(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        asked = {key: self._asked.pop(key) for key in tuple(self._asked)[: self._at_most]}
        if not asked:
            return
        if self._asked:
            # More came in one moment than one call may hold: they have waited long enough.
            self._later(0)
        answers: Mapping[K, V | BaseException]
        try:
            answers = await self._answer(tuple(asked))
        except Exception as error:
            answers = dict.fromkeys(asked, error)
        for key, future in asked.items():
            answer = answers[key]
            if isinstance(answer, BaseException):
                future.set_exception(answer)
                future.exception()  # Whoever asked may be gone: nobody is to be told of it at the end.
            else:
                future.set_result(answer)
