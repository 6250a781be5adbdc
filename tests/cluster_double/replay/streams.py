"""Answers that last: watches, followed logs, WebSockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
from yarl import URL

from .background import BACKGROUND
from .comparison import Comparison
from .correspondence import Correspondence
from .passing import without_passing_states
from .recordings import Exchange
from .scrubbing import Scrubber, differences, without_protobuf_zeros

_OPEN_SECONDS = 15.0
_TURN_SECONDS = 1.0


class Running:
    """A lasting exchange in progress."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.abandoned = False
        self.trouble = ""

    async def seen_until(self, moment: int, seconds: float) -> bool:
        """Waits until it has seen what the recording had seen at `moment`; False when that does not come."""
        return True

    def judge_by(self, correspondence: Correspondence, node_names: Sequence[str]) -> None:
        """Tells it against what to compare while it is still open."""

    def give_up(self) -> None:
        self.abandoned = True

    async def finish(self, seconds: float, *, leave: bool = False) -> None:
        """Waits for what is still due and closes; with `leave` without waiting for the server to end it."""
        raise NotImplementedError

    def compare(self, correspondence: Correspondence, node_names: Sequence[str]) -> Comparison:
        raise NotImplementedError


async def open_stream(
    session: aiohttp.ClientSession, exchange: Exchange, url: str, headers: Mapping[str, str]
) -> Running:
    if exchange.is_websocket:
        return await WebSocket.open(session, exchange, url, headers)
    if exchange.follows_log:
        return await FollowedLog.open(session, exchange, url, headers)
    return await Watch.open(session, exchange, url, headers)


class Watch(Running):
    """A watch; events are collected until as many states were seen as recorded."""

    def __init__(self, exchange: Exchange, response: aiohttp.ClientResponse) -> None:
        super().__init__(exchange)
        self.response = response
        self.events: list[Any] = []
        self.closed_by_server = False
        self._changed = asyncio.Event()
        self._finished = False
        self._judge: Callable[[Watch], list[str]] | None = None
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, session: aiohttp.ClientSession, exchange: Exchange, url: str, headers: Mapping[str, str]
    ) -> Watch:
        plain = {key: value for key, value in headers.items() if key != "Content-Type"}
        if exchange.events and "protobuf" in plain.get("Accept", ""):
            plain["Accept"] = "application/json;stream=watch, application/json"
        async with asyncio.timeout(_OPEN_SECONDS):
            response = await session.get(
                URL(url, encoded=True), headers=plain, timeout=aiohttp.ClientTimeout(total=None)
            )
        return cls(exchange, response)

    def judge_by(self, correspondence: Correspondence, node_names: Sequence[str]) -> None:
        self._judge = lambda watch: watch.compare(correspondence, node_names).differences

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

    async def seen_until(self, moment: int, seconds: float) -> bool:
        if self.abandoned:
            return True
        due = [one["event"] for one in self.exchange.events if self.exchange.start + one["t_ms"] <= moment]
        return await self._has(due, seconds)

    async def _has(self, due: list[Any], seconds: float) -> bool:
        if any(_is_artefact(one) for one in due):
            return True
        deadline = time.monotonic() + seconds
        while not self._covers(due):
            left = deadline - time.monotonic()
            if left <= 0 or self._task.done():
                return self._covers(due)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return self._covers(due)
        return True

    async def _settled(self, recorded: list[Any], seconds: float) -> None:
        """Waits until every object is in its recorded last state, as long as more may come."""
        deadline = time.monotonic() + seconds
        while not self._task.done() and (left := deadline - time.monotonic()) > 0:
            if self._judge is None or not self._judge(self):
                return
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    def _covers(self, due: list[Any]) -> bool:
        """Whether the last state of every object that was due has the counterpart of its type and content."""
        wanted = _last_states(due, _recorded_view)
        have = _last_states(self.events, _recorded_view)
        return all(sorted(have.get(name, ())) == sorted(states) for name, states in wanted.items())

    async def finish(self, seconds: float, *, leave: bool = False) -> None:
        if self._finished:
            return
        self._finished = True
        recorded = [one["event"] for one in self.exchange.events]
        if not self.abandoned and await self._has(recorded, seconds):
            await self._settled(recorded, seconds)
        if (
            not leave
            and not self.exchange.ended
            and int(self.exchange.parameters.get("timeoutSeconds", "600")) <= 8
        ):
            try:
                limit = int(self.exchange.parameters.get("timeoutSeconds", "8")) + 1.5
                await asyncio.wait_for(asyncio.shield(self._task), limit)
            except TimeoutError:
                self.trouble = self.trouble or "the watch did not end after its timeoutSeconds"
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.response.close()

    def compare(self, correspondence: Correspondence, node_names: Sequence[str]) -> Comparison:
        comparison = Comparison(correspondence, node_names)
        if self.trouble:
            comparison.differences.append(self.trouble)
        if self.response.status != 200:
            comparison.differences.append(f"status: recorded 200, double {self.response.status}")
            return comparison
        recorded = [one["event"] for one in self.exchange.events]
        if any(_is_artefact(one) for one in recorded):
            comparison.normalisations.add("etcd 3.4")
            return comparison
        for event in self.events:
            correspondence.observe(event)
        _learn_events(recorded, self.events, correspondence)
        left = Scrubber(
            correspondence.recorded_tokens, ("node1", "node2", "fakenode"), self.exchange.scenario
        )
        right = Scrubber(correspondence.actual_tokens, tuple(node_names), self.exchange.scenario)
        actual = self.events
        periodic = self.exchange.scenario.startswith("watch-bookmarks")
        if self.exchange.in_protobuf:
            comparison.normalisations.add("protobuf answer")
            recorded, actual = without_protobuf_zeros(recorded), without_protobuf_zeros(actual)
        before = _by_object(
            self._foreground(_typed(recorded, periodic=periodic), comparison), left, comparison
        )
        after = _by_object(self._foreground(_typed(actual, periodic=periodic), comparison), right, comparison)
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


def _is_artefact(event: Mapping[str, Any]) -> bool:
    """What only etcd 3.4 answers: see the recordings' README, (a) and (b)."""
    status = event.get("object") or {}
    return event.get("type") == "ERROR" and status.get("code") in (500, 504)


def _recorded_view(event: Mapping[str, Any]) -> str:
    return str(event.get("type"))


def _names(event: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(kind/namespace/name, state) of the objects an event speaks of; a Table may hold several rows."""
    obj = event.get("object") or {}
    if obj.get("kind") == "Table":
        return [(_key(row.get("object") or {}), row) for row in obj.get("rows") or ()]
    return [(_key(obj), obj)]


def _key(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata") or {}
    return f"{obj.get('kind')}/{metadata.get('namespace', '')}/{metadata.get('name', '')}"


def _last_states(events: Sequence[Any], view: Any) -> dict[str, list[str]]:
    """By generic object name, the last event types of the objects with that name."""
    last: dict[str, str] = {}
    for event in events:
        for name, _ in _names(event):
            last[name] = view(event)
    grouped: dict[str, list[str]] = {}
    for name, state in last.items():
        grouped.setdefault(_generic(name), []).append(state)
    return grouped


def _generic(name: str) -> str:
    name = re.sub(r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}(-[bcdfghjklmnpqrstvwxz2456789]{5})?$", "-*", name)
    return re.sub(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$|\.[0-9a-f]{14,16}$", "-*", name)


def _typed(events: Sequence[Any], *, periodic: bool) -> list[tuple[str, str, Any]]:
    """(object, type, state) in order; states of Table rows with their columns."""
    columns: Any = None
    found = []
    for event in events:
        obj = event.get("object") or {}
        if obj.get("kind") == "Table":
            columns = obj.get("columnDefinitions") or columns
            for name, row in _names(event):
                if name.endswith("/openshift-service-ca.crt"):
                    continue
                table = {"kind": "Table", "columnDefinitions": columns, "rows": [row]}
                found.append((name, str(event["type"]), table))
        elif event.get("type") == "BOOKMARK":
            found += _bookmark(obj, periodic)
        elif (obj.get("metadata") or {}).get("name") != "openshift-service-ca.crt":
            found.append((_key(obj), str(event.get("type")), obj))
    return found


def _bookmark(obj: Mapping[str, Any], periodic: bool) -> list[tuple[str, str, Any]]:
    """A bookmark's object is empty but for its version; the one after the initial events says so.

    The `periodic` others come when the server likes: they count where a scenario is about them.
    """
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    first = annotations.get("k8s.io/initial-events-end") == "true"
    if not first and not periodic:
        return []
    name = f"{obj.get('kind')}/bookmark/{'initial-events-end' if first else ''}"
    return [(name, "BOOKMARK", {"kind": obj.get("kind")})]


def _by_object(
    events: list[tuple[str, str, Any]], scrubber: Scrubber, comparison: Comparison
) -> dict[str, Any]:
    """Per object the types without repeats and the last state; objects of one generic name in a list."""
    histories: dict[str, tuple[list[str], Any]] = {}
    for name, kind, state in events:
        types, _ = histories.get(name, ([], None))
        if types and types[-1] == kind:
            comparison.normalisations.add("coalesced events")
        else:
            types.append(kind)
        histories[name] = (types, state)
    grouped: dict[str, list[Any]] = {}
    for name, (types, state) in histories.items():
        shown = {"types": types, "last": scrubber.scrubbed(state)}
        grouped.setdefault(_generic(scrubber.scrubbed(name)), []).append(shown)
    return {
        name: sorted(states, key=lambda one: json.dumps(one, sort_keys=True))
        for name, states in grouped.items()
    }


def _learn_events(recorded: Sequence[Any], actual: Sequence[Any], correspondence: Correspondence) -> None:
    """Pairs objects by their first appearance, and their last versions."""
    first_left, first_right = _firsts(recorded), _firsts(actual)
    used: set[str] = set()
    for name, (left, left_last) in first_left.items():
        match = next(
            (other for other in first_right if other not in used and _generic(other) == _generic(name)), None
        )
        if match is not None:
            used.add(match)
            right, right_last = first_right[match]
            correspondence.learn(left, right)
            correspondence.learn(left_last, right_last)


def _firsts(events: Sequence[Any]) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for event in events:
        for name, state in _names(event):
            found[name] = (found[name][0] if name in found else state, state)
    return found


class FollowedLog(Running):
    """A log that is followed; compared is the whole text."""

    def __init__(self, exchange: Exchange, response: aiohttp.ClientResponse) -> None:
        super().__init__(exchange)
        self.response = response
        self.text = ""
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, session: aiohttp.ClientSession, exchange: Exchange, url: str, headers: Mapping[str, str]
    ) -> FollowedLog:
        async with asyncio.timeout(_OPEN_SECONDS):
            while True:
                response = await session.get(
                    URL(url, encoded=True), headers=dict(headers), timeout=aiohttp.ClientTimeout(total=None)
                )
                if response.status != 400:
                    return cls(exchange, response)
                # The container is still being created: the recorded client came a little later.
                response.close()
                await asyncio.sleep(0.05)

    async def _read(self) -> None:
        try:
            async for chunk in self.response.content.iter_any():
                self.text += chunk.decode("utf-8", "replace")
        except aiohttp.ClientError as error:
            self.trouble = f"{type(error).__name__} {error}"

    async def finish(self, seconds: float, *, leave: bool = False) -> None:
        if self._task.done():
            return
        wanted = len(str(self.exchange.response or ""))
        deadline = time.monotonic() + seconds + 2
        while len(self.text) < wanted and not self._task.done() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.response.close()

    def compare(self, correspondence: Correspondence, node_names: Sequence[str]) -> Comparison:
        comparison = Comparison(correspondence, node_names)
        if self.response.status != self.exchange.status:
            comparison.differences.append(
                f"status: recorded {self.exchange.status}, double {self.response.status}: {self.text[:200]}"
            )
            return comparison
        comparison.normalisations.add("frames")
        recorded = str(self.exchange.response or "")
        actual = self.text[: len(recorded)] if self.exchange.ended else self.text
        comparison.bodies(recorded, actual)
        return comparison


class WebSocket(Running):
    """exec, attach and port-forward: compared are the texts per channel and the close code."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.status = 101
        self.protocol: str | None = None
        self.received: dict[int, bytes] = {}
        self.close_code: int | None = None

    @classmethod
    async def open(
        cls, session: aiohttp.ClientSession, exchange: Exchange, url: str, headers: Mapping[str, str]
    ) -> WebSocket:
        one = cls(exchange)
        protocols = [
            part.strip()
            for part in exchange.headers.get("sec-websocket-protocol", "").split(",")
            if part.strip()
        ]
        plain = {key: value for key, value in headers.items() if key.lower() != "sec-websocket-protocol"}
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                socket = await session.ws_connect(
                    URL(url, encoded=True), headers=plain, protocols=protocols, max_msg_size=0
                )
        except aiohttp.WSServerHandshakeError as error:
            one.status = error.status
            one.trouble = f"no upgrade: {error.status}"
            return one
        one.protocol = socket.protocol
        await one._talk(socket)
        return one

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        reader = asyncio.create_task(self._read(socket))
        for frame in self.exchange.frames:
            if frame.get("dir") != "c2s" or frame.get("ws_op") == "close":
                continue
            raw = _frame_bytes(frame)
            if raw is None:
                continue
            await self._answered_until(frame)
            if frame.get("op") == "text":
                await socket.send_str(raw.decode("utf-8", "surrogateescape"))
            else:
                await socket.send_bytes(raw)
        limit = 5.0 if not self.exchange.ended or self._wants_status() else 2.0
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(reader), limit)
        await socket.close()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)

    async def _answered_until(self, sent: Mapping[str, Any]) -> None:
        """Waits until the double answered as many bytes as the recorded server had before this frame."""
        due = 0
        for frame in self.exchange.frames:
            if frame is sent:
                break
            if frame.get("dir") == "s2c" and frame.get("channel") is not None:
                due += int(frame.get("len") or 0)
        deadline = time.monotonic() + _TURN_SECONDS
        while sum(map(len, self.received.values())) < due and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def _wants_status(self) -> bool:
        return any(frame.get("channel") == 3 for frame in self.exchange.frames)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            data = message.data if isinstance(message.data, bytes) else str(message.data).encode()
            if data:
                self.received[data[0]] = self.received.get(data[0], b"") + data[1:]
        self.close_code = socket.close_code

    async def finish(self, seconds: float, *, leave: bool = False) -> None:
        return

    def compare(self, correspondence: Correspondence, node_names: Sequence[str]) -> Comparison:
        comparison = Comparison(correspondence, node_names)
        if self.trouble:
            comparison.differences.append(self.trouble)
            return comparison
        comparison.normalisations.add("frames")
        chosen = self.exchange.response_headers.get("sec-websocket-protocol")
        if chosen != self.protocol:
            comparison.differences.append(f"protocol: recorded {chosen!r}, double {self.protocol!r}")
        if "portforward" in self.exchange.path:
            return comparison
        expected: dict[int, bytes] = {}
        for frame in self.exchange.frames:
            if frame.get("dir") == "s2c" and frame.get("channel") is not None:
                text = _payload(frame)
                expected[frame["channel"]] = expected.get(frame["channel"], b"") + text
        if any(frame.get("text_cut") for frame in self.exchange.frames):
            self._compare_lengths(comparison)
            return comparison
        for channel in sorted(set(expected) | set(self.received)):
            left = expected.get(channel, b"").decode("utf-8", "replace")
            right = self.received.get(channel, b"").decode("utf-8", "replace")
            comparison.bodies({f"channel {channel}": left}, {f"channel {channel}": right})
        codes = [
            frame.get("code")
            for frame in self.exchange.frames
            if frame.get("ws_op") == "close" and frame.get("dir") == "s2c"
        ]
        if codes and self.close_code != codes[0]:
            comparison.differences.append(f"close code: recorded {codes[0]}, double {self.close_code}")
        return comparison

    def _compare_lengths(self, comparison: Comparison) -> None:
        """The recording shortened these texts: compared are the bytes per channel."""
        expected: dict[int, int] = {}
        for frame in self.exchange.frames:
            if frame.get("dir") == "s2c" and frame.get("channel") is not None:
                expected[frame["channel"]] = expected.get(frame["channel"], 0) + int(frame["len"])
        actual = {channel: len(data) for channel, data in self.received.items()}
        if expected != actual:
            comparison.differences.append(f"bytes per channel: recorded {expected}, double {actual}")


def _payload(frame: Mapping[str, Any]) -> bytes:
    if "base64" in frame:
        return base64.b64decode(frame["base64"])
    return str(frame.get("text", "")).encode()


def _frame_bytes(frame: Mapping[str, Any]) -> bytes | None:
    if frame.get("channel") == 255:
        closed = frame["closes"]
        return bytes([255, *(closed if isinstance(closed, list) else [closed])])
    if frame.get("channel") is None:
        return None
    return bytes([int(frame["channel"])]) + _payload(frame)
