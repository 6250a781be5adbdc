"""Watches: open while other requests go out, compared by what became of each object."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
from yarl import URL

from .background import BACKGROUND
from .comparison import Comparison
from .correspondence import Correspondence
from .differing import differences
from .passing import without_passing_states
from .recordings import Exchange
from .running import OPEN_SECONDS, PLAUSIBLE_SECONDS, Running, Wait
from .scrubbing import Scrubber, without_protobuf_zeros
from .watch_events import as_far, by_object, is_artefact, learn_events, stages, typed

LATE_SECONDS = 1.5
"""How long after its timeoutSeconds a watch may end."""

LOOK_SECONDS = 0.05


class Watch(Running):
    """A watch; events are collected until as many states were seen as recorded."""

    def __init__(self, exchange: Exchange, response: aiohttp.ClientResponse) -> None:
        super().__init__(exchange)
        self.response = response
        self.events: list[Any] = []
        self.closed_by_server = False
        self._changed = asyncio.Event()
        self._finished = False
        self._judge: Callable[[list[Any] | None], list[str]] | None = None
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, session: aiohttp.ClientSession, exchange: Exchange, url: str, headers: Mapping[str, str]
    ) -> Watch:
        plain = {key: value for key, value in headers.items() if key != "Content-Type"}
        if exchange.events and "protobuf" in plain.get("Accept", ""):
            plain["Accept"] = "application/json;stream=watch, application/json"
        async with asyncio.timeout(OPEN_SECONDS):
            response = await session.get(
                URL(url, encoded=True), headers=plain, timeout=aiohttp.ClientTimeout(total=None)
            )
        return cls(exchange, response)

    def judge_by(self, correspondence: Correspondence, node_names: Sequence[str]) -> None:
        self._judge = lambda due: self._compare(due, correspondence, node_names).differences

    async def _read(self) -> None:
        try:
            buffer = b""
            async for chunk in self.response.content.iter_any():
                buffer += chunk
                while (end := buffer.find(b"\n")) >= 0:
                    line, buffer = buffer[:end], buffer[end + 1 :]
                    if line.strip():
                        self.events.append(json.loads(line))
                self._changed.set()
            if buffer.strip():
                self.events.append(json.loads(buffer))
            self.closed_by_server = True
        except (aiohttp.ClientError, ValueError) as error:
            self.trouble = f"{type(error).__name__} {error}"
        finally:
            self._changed.set()

    async def seen_until(self, moment: int, wait: Wait) -> bool:
        if self.abandoned or self._finished:
            return True
        due = [one["event"] for one in self.exchange.events if self.exchange.start + one["t_ms"] <= moment]
        return await self._has(due, wait)

    async def _has(self, due: list[Any], wait: Wait) -> bool:
        """Waits until the double shows what was due.

        What the recording saw change may have been over in the double before the watch began: then it is
        enough that nothing differs, once there was as much time as in the recording.
        """
        if any(is_artefact(one) for one in due):
            return True
        plausible = time.monotonic() + wait.recorded + PLAUSIBLE_SECONDS
        deadline = time.monotonic() + wait.longest
        while not self._covers(due):
            now = time.monotonic()
            if now >= plausible and not self._differences(due):
                return True
            if now >= deadline or self._task.done():
                return False
            await self._change((min(plausible, deadline) if now < plausible else deadline) - now)
        return True

    async def _change(self, seconds: float) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    async def _settled(self, seconds: float) -> bool:
        """Waits until every object is in its recorded last state, as long as more may come."""
        deadline = time.monotonic() + seconds
        while self._differences():
            left = deadline - time.monotonic()
            if left <= 0 or self._task.done():
                return False
            await self._change(left)
        return True

    def _differences(self, due: list[Any] | None = None) -> list[str]:
        return self._judge(due) if self._judge else []

    def _covers(self, due: list[Any]) -> bool:
        """Whether every object that was due has a counterpart that has come at least as far."""
        have = stages(self.events)
        return all(as_far(have.get(name, []), stages) for name, stages in stages(due).items())

    async def finish(self, wait: Wait, *, leave: bool = False) -> bool:
        if self._finished:
            return True
        self._finished = True
        recorded = [one["event"] for one in self.exchange.events]
        seen = self.abandoned or (await self._has(recorded, wait) and await self._settled(wait.longest))
        if (
            not leave
            and not self.exchange.ended
            and int(self.exchange.parameters.get("timeoutSeconds", "600")) <= 8
        ):
            limit = int(self.exchange.parameters["timeoutSeconds"]) + LATE_SECONDS
            if not await self._ends_within(limit):
                self.trouble = self.trouble or "the watch did not end after its timeoutSeconds"
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.response.close()
        return seen

    async def _ends_within(self, seconds: float) -> bool:
        """In seconds of a loop that turns: while the other parts of the replay compare, it stands still and
        reads no end that has long come, so a look that took too long counts as one look."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            done, _ = await asyncio.wait({self._task}, timeout=LOOK_SECONDS)
            if done:
                return True
        return False

    def compare(self, correspondence: Correspondence, node_names: Sequence[str]) -> Comparison:
        return self._compare(None, correspondence, node_names)

    def _compare(
        self, due: list[Any] | None, correspondence: Correspondence, node_names: Sequence[str]
    ) -> Comparison:
        """With all recorded events, or with those that were due."""
        comparison = Comparison(correspondence, node_names)
        if self.trouble:
            comparison.differences.append(self.trouble)
        if self.response.status != 200:
            comparison.differences.append(f"status: recorded 200, double {self.response.status}")
            return comparison
        recorded = [one["event"] for one in self.exchange.events] if due is None else due
        if any(is_artefact(one) for one in recorded):
            comparison.normalisations.add("etcd 3.4")
            return comparison
        for event in self.events:
            correspondence.observe(event)
        learn_events(recorded, self.events, correspondence)
        left = Scrubber(
            correspondence.recorded_tokens, ("node1", "node2", "fakenode"), self.exchange.scenario
        )
        right = Scrubber(correspondence.actual_tokens, tuple(node_names), self.exchange.scenario)
        actual = self.events
        periodic = self.exchange.scenario.startswith("watch-bookmarks")
        if self.exchange.in_protobuf:
            comparison.normalisations.add("protobuf answer")
            recorded, actual = without_protobuf_zeros(recorded), without_protobuf_zeros(actual)
        before = by_object(self._foreground(typed(recorded, periodic=periodic), comparison), left, comparison)
        after = by_object(self._foreground(typed(actual, periodic=periodic), comparison), right, comparison)
        comparison.normalisations |= left.used
        found = differences(before, after)
        if found and not differences(*without_passing_states(before, after)):
            comparison.normalisations.add("passing state")
        else:
            comparison.differences += [f"watch {one}" for one in found]
        return comparison

    def _foreground(
        self, events: list[tuple[str, str, Any]], comparison: Comparison
    ) -> list[tuple[str, str, Any]]:
        kept = [
            one
            for one in events
            if BACKGROUND.get(one[0].rpartition("/")[2], self.exchange.scenario) == self.exchange.scenario
        ]
        if len(kept) != len(events):
            comparison.normalisations.add("background")
        return kept
