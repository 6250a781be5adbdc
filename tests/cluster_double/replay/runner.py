"""Sends a scenario's requests in their recorded order and compares what comes back.

Recorded pauses are not waited out: before a request goes out, the watches that ran beside it must have seen
what they had seen at that moment of the recording, and the object that it changes must be in the recorded
state.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from .comparison import Comparison
from .correspondence import Correspondence
from .recordings import Exchange, Scenario, decoded, wire_body
from .scope import PATIENCE, RAW_BODIES, SWEPT_BEFORE, UNRECORDED, excluded
from .streams import Running, open_stream

AWAIT_SECONDS = 2.5
POLL_SECONDS = 0.05
REQUEST_SECONDS = 15.0
SLOW_AFTER = 3
SHORT_SECONDS = 0.2
SWEEP_SECONDS = 20.0
_NAMESPACE = re.compile(r"/namespaces/([^/]+)/")
_OPENSHIFT = "openshift-service-ca.crt"
_AS = re.compile(r"--as=(\S+)")
# Resources that controllers or the node write: reading them is repeated until the recorded state is there.
_MOVING = re.compile(
    r"/(?:pods|deployments|replicasets|jobs|events|endpoints|endpointslices|nodes|customresourcedefinitions"
    r"|httproutes)\b|/namespaces/[^/]+(?:/serviceaccounts.*|/configmaps/kube-root-ca.crt)?$"
)


@dataclass(frozen=True)
class Answer:
    """What the double answered; `body` is decoded JSON or text."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Outcome:
    """A scenario's result: `differences` by exchange, and the normalisations that were needed."""

    scenario: str
    differences: list[str] = field(default_factory=list)
    normalisations: set[str] = field(default_factory=set)


class Replay:
    """Replays scenarios one after the other against one double, which keeps its state between them."""

    def __init__(self, base: str, token: str, correspondence: Correspondence, node_name: str) -> None:
        self.base = base
        self.correspondence = correspondence
        self.node_names = (node_name,) if node_name else ()
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None
        self._failed_waits = 0
        self._patience = AWAIT_SECONDS
        self._deadline = 0.0
        self._known_namespaces: set[str] = set()

    async def __aenter__(self) -> Replay:
        self._session = aiohttp.ClientSession(auto_decompress=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def scenario(self, scenario: Scenario) -> Outcome:
        outcome = Outcome(scenario.name)
        running: list[Running] = []
        self._failed_waits = 0
        self._patience = PATIENCE.get(scenario.name, AWAIT_SECONDS)
        recorded = max((one.end for one in scenario.exchanges), default=0) / 1000
        self._deadline = time.monotonic() + recorded + 2 * self._patience
        await self._sweep(scenario)
        await self._namespaces(scenario, outcome)
        for exchange in scenario.exchanges:
            if reason := excluded(exchange):
                outcome.normalisations.add(reason)
                continue
            await self._catch_up(running, exchange.start)
            try:
                await self._exchange(scenario, exchange, running, outcome)
            except (aiohttp.ClientError, TimeoutError) as error:
                outcome.differences.append(f"{_label(exchange)}: no answer: {type(error).__name__} {error}")
        for one in running:
            await one.finish(self._limit())
            self._report(one.exchange, one.compare(self.correspondence, self.node_names), outcome)
        return outcome

    async def before_restart(self, scenario: Scenario) -> None:
        """Fetches the continue tokens that the scenario expects to be too old after the restart."""
        for exchange in scenario.exchanges:
            token = exchange.parameters.get("continue")
            if token and exchange.status == 410 and self.correspondence.continue_token(token) == token:
                answer = await self._send("GET", f"{self.base}{exchange.path}?limit=2", self._headers, None)
                self.correspondence.remember_continue(token, answer.body["metadata"]["continue"])
        # The recorded etcd was compacted at a later version than the one that the tokens speak of.
        marker = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}}
        url = f"{self.base}/api/v1/namespaces/default/configmaps"
        headers = {**self._headers, "Content-Type": "application/json"}
        await self._send("POST", url, headers, json.dumps(marker).encode())
        await self._send("DELETE", f"{url}/later", self._headers, None)

    def _limit(self) -> float:
        """Seconds that the next wait may take: few when waits of this scenario failed or its time is over."""
        if self._failed_waits >= SLOW_AFTER:
            return SHORT_SECONDS
        return max(SHORT_SECONDS, min(self._patience, self._deadline - time.monotonic()))

    async def _sweep(self, scenario: Scenario) -> None:
        """Deletes the namespaces that were deleted past the recording proxy; waits for their end."""
        for namespace in SWEPT_BEFORE.get(scenario.name, ()):
            url = f"{self.base}/api/v1/namespaces/{namespace}"
            deadline = time.monotonic() + SWEEP_SECONDS
            answer = await self._send("DELETE", url, self._headers, None)
            while answer.status != 404 and time.monotonic() < deadline:
                await asyncio.sleep(POLL_SECONDS)
                answer = await self._send("GET", url, self._headers, None)

    async def _namespaces(self, scenario: Scenario, outcome: Outcome) -> None:
        """Creates the namespaces that the recording used without a recorded request that made them."""
        for exchange in scenario.exchanges:
            made = exchange.method == "POST" and exchange.path == "/api/v1/namespaces"
            if made and exchange.status in (201, 409):
                return
            found = _NAMESPACE.search(exchange.path)
            if not found or exchange.status not in (200, 201) or found[1] in self._known_namespaces:
                continue
            if exchange.method == "GET":
                continue
            self._known_namespaces.add(found[1])
            url = f"{self.base}/api/v1/namespaces"
            if (await self._send("GET", f"{url}/{found[1]}", self._headers, None)).status != 404:
                continue
            outcome.normalisations.add("earlier state")
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": found[1]}}
            headers = {**self._headers, "Content-Type": "application/json", "User-Agent": "kubectl-create/1"}
            await self._send("POST", url, headers, json.dumps(namespace).encode())
            await self._create_openshift(found[1])

    async def _catch_up(self, running: list[Running], moment: int) -> None:
        for one in list(running):
            if not await one.seen_until(moment, self._limit()):
                one.give_up()
            if one.exchange.end <= moment:
                # The recorded client had left by then, and saw nothing more.
                await one.finish(self._limit(), leave=True)

    async def _exchange(
        self, scenario: Scenario, exchange: Exchange, running: list[Running], outcome: Outcome
    ) -> None:
        url, headers, body = self._request(scenario, exchange)
        assert self._session is not None
        if exchange.is_watch or exchange.is_websocket or (exchange.follows_log and exchange.status == 200):
            stream = await open_stream(self._session, exchange, url, headers)
            stream.judge_by(self.correspondence, self.node_names)
            running.append(stream)
            await self._unrecorded_writes(exchange)
            return
        if exchange.method != "GET":
            await self._settle(scenario, exchange)
        headers.pop("If-None-Match", None)
        if exchange.status == 304:
            headers |= await self._validators(exchange, url)
        comparison = await self._answer_and_compare(exchange, url, headers, body)
        self._report(exchange, comparison, outcome)

    async def _answer_and_compare(
        self, exchange: Exchange, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Comparison:
        limit = self._limit()
        if not _MOVING.search(exchange.path):
            limit = 0.0
        deadline = time.monotonic() + limit
        while True:
            answer = await self._send(exchange.method, url, headers, body)
            recorded = decoded(exchange.response)
            comparison = Comparison(self.correspondence, self.node_names, exchange.scenario)
            comparison.answers(exchange, answer.status, answer.headers, answer.body)
            if not comparison.differences or exchange.method != "GET":
                break
            if time.monotonic() > deadline:
                self._failed_waits += 1
                break
            await asyncio.sleep(POLL_SECONDS)
        if answer.status == exchange.status:
            self.correspondence.learn(recorded, answer.body)
            await self._play_openshift(exchange)
        return comparison

    async def _validators(self, exchange: Exchange, url: str) -> dict[str, str]:
        """The double's own ETag or Last-Modified of what the recorded client had in its cache.

        If-Modified-Since is not in the recordings; kubectl sends it for /openapi/v3.
        """
        headers = {**self._headers, "Accept": exchange.headers.get("accept", "*/*")}
        answer = await self._send("GET", url, headers, None)
        if "Etag" in answer.headers:
            return {"If-None-Match": answer.headers["Etag"]}
        if "Last-Modified" in answer.headers:
            return {"If-Modified-Since": answer.headers["Last-Modified"]}
        return {}

    async def _unrecorded_writes(self, exchange: Exchange) -> None:
        for write in UNRECORDED.get((exchange.scenario, exchange.seq), ()):
            url = f"{self.base}{exchange.path}" + (f"/{write.name}" if write.name else "")
            kind = "application/merge-patch+json" if write.method == "PATCH" else "application/json"
            headers = {**self._headers, "Content-Type": kind}
            body = None if write.body is None else json.dumps(write.body).encode()
            await self._send(write.method, f"{url}?fieldManager={write.manager}", headers, body)

    async def _play_openshift(self, exchange: Exchange) -> None:
        """Does what OpenShift's service-ca controller did when it was recorded: a ConfigMap a namespace."""
        created = (
            exchange.method == "POST" and exchange.path == "/api/v1/namespaces" and exchange.status == 201
        )
        removed = exchange.method == "DELETE" and exchange.path.endswith(_OPENSHIFT)
        if not (created or removed) or exchange.parameters.get("dryRun"):
            return
        body = decoded(exchange.response)
        namespace = body["metadata"]["name"] if created else exchange.path.split("/")[4]
        await self._create_openshift(namespace)

    async def _create_openshift(self, namespace: str) -> None:
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _OPENSHIFT}, "data": {}}
        url = f"{self.base}/api/v1/namespaces/{namespace}/configmaps"
        headers = {**self._headers, "Content-Type": "application/json", "User-Agent": "service-ca/1"}
        await self._send("POST", url, headers, json.dumps(config_map).encode())

    async def _settle(self, scenario: Scenario, exchange: Exchange) -> None:
        """Waits until the object is in the state from which the recorded change started."""
        recorded = decoded(exchange.response)
        if exchange.method not in ("PATCH", "PUT", "DELETE") or not isinstance(recorded, Mapping):
            return
        status = recorded.get("status")
        if not isinstance(status, Mapping) or exchange.status != 200 or not status:
            return
        url = self.base + quote(self.correspondence.rewrite(exchange.path), safe="/:")
        limit = self._limit()
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            answer = await self._send("GET", url, {"Accept": "application/json", **self._headers}, None)
            comparison = Comparison(self.correspondence, self.node_names, exchange.scenario)
            if answer.status == 404:
                return
            if isinstance(answer.body, Mapping):
                comparison.bodies({"status": status}, {"status": answer.body.get("status")})
                if not comparison.differences:
                    return
            await asyncio.sleep(POLL_SECONDS)
        self._failed_waits += 1

    def _request(self, scenario: Scenario, exchange: Exchange) -> tuple[str, dict[str, str], bytes | None]:
        known = self.correspondence
        url = self.base + quote(known.rewrite(exchange.path), safe="/:")
        query = []
        for key, value in exchange.query:
            if key == "resourceVersion":
                value = known.version(value)
            elif key == "continue":
                value = known.continue_token(value)
            elif key == "timeoutSeconds" and exchange.is_watch:
                value = str(min(int(value), 600))
            query.append(f"{quote(key)}={quote(known.rewrite(value), safe='')}")
        headers = {**self._headers, **{_title(key): value for key, value in exchange.headers.items()}}
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

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        assert self._session is not None
        async with asyncio.timeout(REQUEST_SECONDS):
            async with self._session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                skip_auto_headers=("Content-Type",),
            ) as response:
                raw = await response.read()
                kind = response.headers.get("Content-Type", "")
                content: Any = raw.decode("utf-8", "replace")
                if "json" in kind and raw:
                    # What says it is JSON and is not stays text, and shows up as a difference.
                    with contextlib.suppress(ValueError):
                        content = json.loads(raw)
                return Answer(response.status, response.headers, content)

    def _report(self, exchange: Exchange, comparison: Comparison, outcome: Outcome) -> None:
        outcome.normalisations |= comparison.normalisations
        outcome.differences += [f"{_label(exchange)}: {one}" for one in comparison.differences]


def _label(exchange: Exchange) -> str:
    return f"{exchange.scenario} #{exchange.seq} {exchange.method} {exchange.path}"


def _title(header: str) -> str:
    return "-".join(part.capitalize() for part in header.split("-"))
