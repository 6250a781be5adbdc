"""One service in one environment of a running platform: releases for it, and how it looks from outside.

The releases are real images of the stand-in, built and pushed by the product's own build command; what is
wrong with one is an edit of its source. Approvals are votes in the ledger, as `record_approvals` writes them.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from local_platform.demo.load import Load, Mix, Record, read_records
from local_platform.layout import CHECKOUT
from local_platform.sources import SOURCES, edit
from platform_ops.controller.rollouts import RolloutRequest, RolloutView
from platform_ops.core.approvals import APPROVE, Vote
from platform_ops.core.plan import OnInsufficientSamples, Step
from platform_ops.core.records import Entry, Promotion
from platform_ops.core.release import Colour, Release, Target, Weights
from platform_ops.core.state import Phase
from platform_ops.wiring import Desk

SERVICE = "fm-llm-solver"
APPROVERS = {"qa": ("qa",), "senior_developer": ("senior1", "senior2"), "devops": ("devops",)}
DEFAULT_RULE = 2
"""The route's rule for everybody who names no colour."""

QUICK_STEPS = tuple(Step(weight, timedelta(seconds=1 if weight < 100 else 0)) for weight in (5, 25, 50, 100))
ONE_SWITCH = (Step(100, timedelta(0)),)


class Defect(StrEnum):
    """What is wrong with a release."""

    CHECK_FAILS = "a check fails, whoever asks"
    FAILS_FOR_USERS = "a check passes on the preview and fails on the way that users come"
    DOES_NOT_START = "the process ends at once"
    FAILS_WHEN_TOLD = "users get as many errors as `POST /fault?share` said; probes and metrics go on"


_METRICS = r"    async def metrics\(self, _: Request\) -> Response:\n"
_BROKEN = '        if {condition}:\n            return _answer({{"detail": "no figures"}}, 500)\n'
_TOLD = """    solver = Starlette(routes=Solver(lifecycle or Lifecycle()).routes())
    told = {"share": 0.0, "asked": 0}

    async def application(scope, receive, send):
        path = scope.get("path", "/metrics")
        if path == "/fault":
            told["share"] = float(scope["query_string"])
            await _answer({"share": told["share"]})(scope, receive, send)
            return
        if path not in ("/liveness", "/readiness", "/metrics"):
            before, told["asked"] = told["asked"], told["asked"] + 1
            if int(told["asked"] * told["share"]) > int(before * told["share"]):
                await _answer({"detail": "as told"}, 500)(scope, receive, send)
                return
        await solver(scope, receive, send)

    return application
"""
_EDITS = {
    Defect.CHECK_FAILS: ("app.py", _METRICS, _BROKEN.format(condition="True")),
    Defect.FAILS_FOR_USERS: (
        "app.py",
        _METRICS,
        _BROKEN.format(condition='"x-platform-colour" not in _.headers'),
    ),
    Defect.FAILS_WHEN_TOLD: ("app.py", r'    """The application of one process\."""\n', _TOLD),
    Defect.DOES_NOT_START: (
        "__main__.py",
        r"from __future__ import annotations\n",
        'raise SystemExit("no")\n',
    ),
}


def spoil(tree: Path, defect: Defect) -> None:
    """Put the defect into a tree of the stand-in."""
    name, place, lines = _EDITS[defect]
    path = tree / "src" / "fm_llm_solver" / name
    kept = place.replace("\\", "").removesuffix("n") + "\n"
    edit(path, place, kept + lines)


POLICY = CHECKOUT / "tests/gate-policy.yaml"
"""The gates that a rollout of these tests must have passed."""


async def pass_gates(desk: Desk, promotion: Promotion) -> None:
    """As the tasks before a rollout would record them."""
    for gate, subject in (("source", promotion.commit), ("image", promotion.release.digest)):
        await desk.ledger.gates.record(
            service=promotion.service, subject=subject, gate=gate, outcome="passed", detail={}
        )


@dataclass
class Place:
    """A service where it is released to. `kubectl` runs the real one, as somebody who may see everything."""

    desk: Desk
    target: Target
    gateway_url: str
    kubectl: Callable[..., list[str]]
    """Words of the command line: kubectl, its kubeconfig and context, and what is added."""
    folder: Path
    _number: int = field(default=0)

    # ---------------------------------------------------------------- releases
    async def built(self, defect: Defect | None = None, commit: str = "") -> Release:
        """A release that nobody had before, in the registry and in the ledger."""
        commit = commit or secrets.token_hex(20)
        source = self.folder / commit
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
        await asyncio.to_thread(shutil.copytree, CHECKOUT / SOURCES[SERVICE], source, ignore=ignored)
        if defect is not None:
            spoil(source, defect)
        tag = f"1.0.0-{commit[:8]}"
        labels = {"org.opencontainers.image.revision": commit, "org.opencontainers.image.version": "1.0.0"}
        digest = await self.desk.images.build(SERVICE, source, tag, labels)
        release = Release(SERVICE, "1.0.0", commit, digest)
        await self.desk.ledger.releases.add(release, built_by_run=f"test-{commit[:8]}")
        return release

    async def promotion(self, release: Release, *, approved: bool = True) -> Promotion:
        promotion = await self.desk.ledger.promotions.open(
            dag_id=f"promote_{SERVICE}_{self.target.environment}",
            run_id=f"test-{secrets.token_hex(6)}",
            service=SERVICE,
            environment=self.target.environment,
            commit=release.commit,
            version=release.version,
            digest=release.digest,
            requested_by="developer",
            url="http://airflow.example.com/run",
        )
        await pass_gates(self.desk, promotion)
        if approved:
            await self.approve(promotion)
        return promotion

    async def approve(self, promotion: Promotion) -> None:
        rule = self.desk.catalog.approval_rule(SERVICE, self.target.environment)
        now = self.desk.clock.now()
        votes = [
            Vote(role, user, APPROVE, now)
            for role, count in rule.required.items()
            for user in APPROVERS[role][:count]
        ]
        result = await self.desk.ledger.approvals.record(
            promotion, votes=votes, rule=rule, authors=(), now=now
        )
        assert result.met, result

    def request(self, promotion: Promotion, **changed: Any) -> RolloutRequest:
        """As the catalog has it, with steps of a second: the triggers still want their samples."""
        request = self.desk.rollout_request(promotion)
        quick: dict[str, Any] = {
            "steps": QUICK_STEPS,
            "bake": timedelta(seconds=2),
            "on_insufficient_samples": OnInsufficientSamples.GENERATE,
        }
        return replace(request, plan=replace(request.plan, **{**quick, **changed}))

    async def open(self, release: Release, *, approved: bool = True, **changed: Any) -> str:
        promotion = await self.promotion(release, approved=approved)
        return await self.desk.controller.open(self.request(promotion, **changed))

    async def drive(
        self,
        rollout_id: str,
        goal: Phase = Phase.PROMOTED,
        progress: Callable[[RolloutView], None] | None = None,
    ) -> RolloutView:
        return await self.desk.controller.drive(rollout_id, goal=goal, holder="this-test", progress=progress)

    async def serving(self) -> tuple[Release, Colour]:
        """The release that has all traffic, and its colour; without any, a good one is brought there."""
        await self._end_what_runs()
        colour = (await self.desk.router.observe(self.target)).weights.majority
        if colour is not None:
            status = await self.desk.workloads.status(self.target, colour)
            known = await self.desk.ledger.releases.find(SERVICE, status.digest or "")
            if known is not None and self.weights().of(colour) == 100 and status.ready:
                return known, colour
        release = await self.built()
        view = await self.drive(await self.open(release, steps=(Step(100, timedelta(0)),), bake=timedelta(0)))
        assert view.phase is Phase.PROMOTED, view
        return release, view.rollout.colour

    async def _end_what_runs(self) -> None:
        """What an interrupted test left half way goes back first."""
        view = await self.desk.controller.active(SERVICE, self.target.environment)
        if view is not None and not view.reached(Phase.PROMOTED):
            await self.desk.controller.request_rollback(view.rollout_id, by="test", why="left half way")
            await self.drive(view.rollout_id, Phase.ROLLED_BACK)

    async def journal(self, rollout_id: str) -> tuple[Entry, ...]:
        return await self.desk.ledger.journal.of_rollout(rollout_id)

    # ---------------------------------------------------------------- from outside
    def run_kubectl(self, *arguments: str) -> str:
        done = subprocess.run(
            self.kubectl(*arguments), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def weights(self) -> Weights:
        """Of the route as the API server shows it to anybody."""
        route = json.loads(self.run_kubectl("get", "httproute", SERVICE, "--output=json"))
        return weights_of(route)

    def deployments(self) -> dict[str, str]:
        """Name to digest of what is deployed."""
        found = json.loads(self.run_kubectl("get", "deployments", "--output=json"))["items"]
        return {
            one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(
                "@"
            )[2]
            for one in found
        }

    def running(self, colour: Colour) -> list[str]:
        """What runs of a colour or would start something, by kind and name."""
        selector = f"--selector=app={SERVICE},version={colour}"
        return self.run_kubectl("get", "deployments,replicasets,pods", selector, "--output=name").split()

    async def colours(self, number: int = 40) -> Counter[str]:
        """Colour and status of so many real responses, on the way that users come."""
        host = urlsplit(self.target.url).netloc
        async with httpx.AsyncClient(trust_env=False, headers={"Host": host}) as client:
            answers = await asyncio.gather(*(client.get(f"{self.gateway_url}/health") for _ in range(number)))
        return Counter(
            f"{answer.headers.get('x-platform-colour')} {answer.status_code}" for answer in answers
        )

    @asynccontextmanager
    async def traffic(self, rate: float = 30, path: str = "/health") -> AsyncIterator[Traffic]:
        """Requests of users to `path`, some of them slow, for as long as the block runs."""
        self._number += 1
        records = self.folder / f"load-{self._number}.ndjson"
        mix = Mix(
            path=path,
            slow_path="/api/certificates",
            slow_body=b'{"system": [[-1.0, 0.0], [0.0, -2.0]]}',
        )
        with records.open("w", buffering=1) as out:
            load = Load(self.gateway_url, urlsplit(self.target.url).netloc, out, mix)
            running = asyncio.create_task(load.run(rate))
            try:
                yield Traffic(records)
            finally:
                load.stopping.set()
                await running

    @contextmanager
    def watched(self) -> Iterator[list[Weights]]:
        """Every state of the route while the block runs, as `kubectl get --watch` prints it."""
        seen: list[Weights] = []
        output = (self.folder / f"watch-{secrets.token_hex(4)}").open("w+")
        kubectl = self.kubectl("get", "httproute", SERVICE, "--watch", "--output=json")
        process = subprocess.Popen(kubectl, stdout=output, text=True)
        try:
            yield seen
        finally:
            process.terminate()
            process.wait(10)
            output.seek(0)
            seen.extend(_distinct(weights_of(route) for route in _documents(output.read())))
            output.close()


@dataclass(frozen=True)
class Traffic:
    path: Path

    @property
    def records(self) -> list[Record]:
        return read_records(self.path)

    @property
    def failed(self) -> list[Record]:
        return [record for record in self.records if record.failed]


def weights_of(route: Mapping[str, Any]) -> Weights:
    found = {Colour.BLUE: 0, Colour.GREEN: 0}
    for backend in route["spec"]["rules"][DEFAULT_RULE]["backendRefs"]:
        found[Colour(backend["name"].rpartition("-")[2])] = backend["weight"]
    assert sum(found.values()) == 100, f"the weights of the route are {found}"
    return Weights(found[Colour.BLUE], found[Colour.GREEN])


def shares(weights: list[Weights], colour: Colour) -> list[int]:
    return [one.of(colour) for one in weights]


def page_ids(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """The key of each page that the chat shows."""
    payloads = (one["body"].get("metadata", {}).get("event_payload", {}) for one in messages)
    return [payload["page_id"] for payload in payloads if "page_id" in payload]


def done(journal: tuple[Entry, ...], what: str) -> list[Entry]:
    return [entry for entry in journal if entry.kind == "done" and entry.what == what]


async def until(what: str, there: Callable[[], Awaitable[bool]], limit: float = 90) -> None:
    """Poll what tells nobody; fails with the sentence."""
    try:
        async with asyncio.timeout(limit):
            while not await there():
                await asyncio.sleep(0.25)
    except TimeoutError:
        raise AssertionError(f"after {limit:g} s, not yet: {what}") from None


def _documents(text: str) -> Iterator[Mapping[str, Any]]:
    """The complete JSON documents of a stream whose last one may be cut."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return
        yield document
        at += len(text[at:]) - len(text[at:].lstrip())


def _distinct(weights: Iterator[Weights]) -> Iterator[Weights]:
    last = None
    for one in weights:
        if one != last:
            yield one
        last = one
