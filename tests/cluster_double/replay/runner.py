"""Sends a scenario's requests in their recorded order and compares what comes back.

Recorded pauses are not waited out: before a request goes out, the watches that ran beside it must have seen
what they had seen at that moment of the recording, and the object that it changes must be in the recorded
state.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp

from .comparison import Comparison
from .connection import Connection
from .correspondence import Correspondence
from .passing import MOVING
from .recordings import Exchange, Scenario, decoded, wire_body
from .running import PLAUSIBLE_SECONDS, Running, Wait
from .scope import PATIENCE, RAW_BODIES, excluded
from .streams import open_stream
from .surroundings import Surroundings

log = logging.getLogger(__name__)

# A busy machine is slower than the recorded one; where the double answers as recorded, nobody waits as long.
AWAIT_SECONDS = 10.0
POLL_SECONDS = 0.05
SLOW_AFTER = 3
SHORT_SECONDS = 0.2
_AS = re.compile(r"--as=(\S+)")


@dataclass
class Outcome:
    """A scenario's result: `differences` by exchange, and the normalisations that were needed."""

    scenario: str
    differences: list[str] = field(default_factory=list)
    normalisations: set[str] = field(default_factory=set)


class Replay:
    """Replays scenarios one after the other against one double, which keeps its state between them."""

    def __init__(self, connection: Connection, correspondence: Correspondence, node_name: str) -> None:
        self.correspondence = correspondence
        self.node_names = (node_name,) if node_name else ()
        self.surroundings = Surroundings(connection)
        self._connection = connection
        self._failed_waits = 0
        self._patience = AWAIT_SECONDS
        self._moment = 0

    async def scenario(self, scenario: Scenario) -> Outcome:
        outcome = Outcome(scenario.name)
        running: list[Running] = []
        self._failed_waits = 0
        self._patience = PATIENCE.get(scenario.name, AWAIT_SECONDS)
        self._moment = 0
        if await self.surroundings.before(scenario):
            outcome.normalisations.add("earlier state")
        for exchange in scenario.exchanges:
            if reason := excluded(exchange):
                outcome.normalisations.add(reason)
                continue
            await self._catch_up(running, exchange.start)
            self._moment = exchange.start
            try:
                await self._exchange(scenario, exchange, running, outcome)
            except (aiohttp.ClientError, TimeoutError) as error:
                outcome.differences.append(f"{_label(exchange)}: no answer: {type(error).__name__} {error}")
        for one in running:
            await self._finish(one)
            self._report(one.exchange, one.compare(self.correspondence, self.node_names), outcome)
        return outcome

    async def before_restart(self, scenario: Scenario) -> None:
        """Fetches the continue tokens that the scenario expects to be too old after the restart."""
        for exchange in scenario.exchanges:
            token = exchange.parameters.get("continue")
            if token and exchange.status == 410 and self.correspondence.continue_token(token) == token:
                answer = await self._connection.read(f"{exchange.path}?limit=2")
                self.correspondence.remember_continue(token, answer.body["metadata"]["continue"])
        await self.surroundings.compacted()

    def _wait(self, moment: int) -> Wait:
        """For what was seen at `moment`; short when waits of this scenario failed."""
        if self._failed_waits >= SLOW_AFTER:
            return Wait(0.0, SHORT_SECONDS)
        recorded = max(0, moment - self._moment) / 1000
        return Wait(recorded, recorded + self._patience)

    def _limit(self) -> float:
        return self._wait(self._moment).longest

    async def _catch_up(self, running: list[Running], moment: int) -> None:
        for one in running:
            if not await one.seen_until(moment, self._wait(moment)):
                self._failed(one.exchange, f"events until {moment} ms")
                one.give_up()
            if one.exchange.end <= moment:
                # The recorded client had left by then, and saw nothing more.
                await self._finish(one, leave=True)

    async def _finish(self, one: Running, *, leave: bool = False) -> None:
        if not await one.finish(self._wait(one.exchange.end), leave=leave):
            self._failed(one.exchange, "the recorded end")

    def _failed(self, exchange: Exchange, what: str) -> None:
        self._failed_waits += 1
        log.info("%s: waited in vain for %s", _label(exchange), what)

    async def _exchange(
        self, scenario: Scenario, exchange: Exchange, running: list[Running], outcome: Outcome
    ) -> None:
        url, headers, body = self._request(scenario, exchange)
        if exchange.is_watch or exchange.is_websocket or (exchange.follows_log and exchange.status == 200):
            stream = await open_stream(self._connection.session, exchange, url, headers)
            stream.judge_by(self.correspondence, self.node_names)
            running.append(stream)
            await self.surroundings.beside(exchange)
            return
        if exchange.method != "GET":
            await self._settle(scenario, exchange)
        headers.pop("If-None-Match", None)
        if exchange.status == 304:
            headers |= await self._validators(exchange, url)
        if exchange.method == "PUT" and exchange.status == 200 and MOVING.search(exchange.path):
            body = await self._current(scenario, exchange, url, headers, body)
        comparison = await self._answer_and_compare(exchange, url, headers, body)
        self._report(exchange, comparison, outcome)

    async def _answer_and_compare(
        self, exchange: Exchange, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Comparison:
        limit = self._limit()
        if not MOVING.search(exchange.path):
            limit = 0.0
        deadline = time.monotonic() + limit
        while True:
            answer = await self._connection.send(exchange.method, url, headers, body)
            recorded = decoded(exchange.response)
            comparison = Comparison(self.correspondence, self.node_names, exchange.scenario)
            comparison.answers(exchange, answer.status, answer.headers, answer.body)
            if not comparison.differences or exchange.method != "GET":
                break
            if time.monotonic() > deadline:
                if limit:
                    self._failed(exchange, "the recorded answer")
                break
            await asyncio.sleep(POLL_SECONDS)
        if answer.status == exchange.status:
            self.correspondence.learn(recorded, answer.body)
            await self.surroundings.after(exchange)
        return comparison

    async def _current(
        self, scenario: Scenario, exchange: Exchange, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> bytes | None:
        """The body of a replacement that was not refused, with the version that is current here.

        A controller may have written once more than it had in the recording; a dry run tells.
        """
        deadline = time.monotonic() + self._limit()
        trial = f"{url}{'&' if '?' in url else '?'}dryRun=All"
        while time.monotonic() < deadline:
            answer = await self._connection.send("PUT", trial, headers, body)
            held = (exchange.body.get("metadata") or {}).get("resourceVersion")
            if answer.status != 409 or not held:
                break
            found = await self._connection.send("GET", url.partition("?")[0], self._connection.headers)
            self.correspondence.is_now(held, found.body["metadata"]["resourceVersion"])
            body = self._request(scenario, exchange)[2]
        return body

    async def _validators(self, exchange: Exchange, url: str) -> dict[str, str]:
        """The double's own ETag or Last-Modified of what the recorded client had in its cache.

        If-Modified-Since is not in the recordings; kubectl sends it for /openapi/v3.
        """
        headers = {**self._connection.headers, "Accept": exchange.headers.get("accept", "*/*")}
        answer = await self._connection.send("GET", url, headers)
        if "Etag" in answer.headers:
            return {"If-None-Match": answer.headers["Etag"]}
        if "Last-Modified" in answer.headers:
            return {"If-Modified-Since": answer.headers["Last-Modified"]}
        return {}

    async def _settle(self, scenario: Scenario, exchange: Exchange) -> None:
        """Waits until the object is in the state from which the recorded change started."""
        recorded = decoded(exchange.response)
        if exchange.method not in ("PATCH", "PUT", "DELETE") or not isinstance(recorded, Mapping):
            return
        status = recorded.get("status")
        if not isinstance(status, Mapping) or exchange.status != 200 or not status:
            return
        if exchange.path.endswith("/status"):
            # The answer has the state after the request.
            return
        if status.get("phase") == "Terminating":
            # So has that of a Namespace.
            return
        url = self._connection.base + quote(self.correspondence.rewrite(exchange.path), safe="/:")
        headers = {"Accept": "application/json", **self._connection.headers}
        strict = time.monotonic() + PLAUSIBLE_SECONDS
        deadline = max(strict, time.monotonic() + self._limit())
        while time.monotonic() < deadline:
            answer = await self._connection.send("GET", url, headers)
            if answer.status == 404:
                return
            if isinstance(answer.body, Mapping):
                # A state in passing may be over already: it need not come again.
                known = recorded if time.monotonic() > strict else {}
                found = {**known, "status": answer.body.get("status")}
                comparison = Comparison(self.correspondence, self.node_names, exchange.scenario)
                comparison.bodies({**known, "status": status}, found)
                if not comparison.differences:
                    return
            await asyncio.sleep(POLL_SECONDS)
        self._failed(exchange, "the recorded state before a change")

    def _request(self, scenario: Scenario, exchange: Exchange) -> tuple[str, dict[str, str], bytes | None]:
        known = self.correspondence
        url = self._connection.base + quote(known.rewrite(exchange.path), safe="/:")
        query = []
        for key, value in exchange.query:
            if key == "resourceVersion":
                value = known.list_version(value)
            elif key == "continue":
                value = known.continue_token(value)
            elif key == "timeoutSeconds" and exchange.is_watch:
                value = str(min(int(value), 600))
            query.append(f"{quote(key)}={quote(known.rewrite(value), safe='')}")
        headers = {
            **self._connection.headers,
            **{_title(key): value for key, value in exchange.headers.items()},
        }
        if exchange.command is not None:
            text = str(scenario.commands[exchange.command].get("command", ""))
            if impersonated := _AS.search(text):
                headers["Impersonate-User"] = impersonated[1]
        body = exchange.body
        if not (isinstance(body, Mapping) and "$protobuf" in body):
            body = known.rewrite_body(body)
        if isinstance(body, Mapping) and "$protobuf" in body and "base64" not in body:
            headers["Content-Type"] = "application/json"
        raw = RAW_BODIES.get((exchange.scenario, exchange.seq))
        return url + ("?" + "&".join(query) if query else ""), headers, raw or wire_body(body)

    def _report(self, exchange: Exchange, comparison: Comparison, outcome: Outcome) -> None:
        outcome.normalisations |= comparison.normalisations
        outcome.differences += [f"{_label(exchange)}: {one}" for one in comparison.differences]


def _label(exchange: Exchange) -> str:
    return f"{exchange.scenario} #{exchange.seq} {exchange.method} {exchange.path}"


def _title(header: str) -> str:
    return "-".join(part.capitalize() for part in header.split("-"))
