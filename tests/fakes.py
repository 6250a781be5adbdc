"""One behaving fake per port: they keep state and obey the rules of what they stand for."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from platform_ops.adapters.ledger import Ledger
from platform_ops.catalog.models import ENVIRONMENTS
from platform_ops.core.clocks import APART
from platform_ops.core.digest_holds import DigestHold, held_entry
from platform_ops.core.drift import HandChange, Outcome
from platform_ops.core.errors import (
    GateClosed,
    Held,
    NotApproved,
    NotFound,
    Refused,
    StaleHolder,
    Unavailable,
)
from platform_ops.core.manifest_diff import Change, ManifestChange
from platform_ops.core.migration import JobState, Migration, MigrationStatus
from platform_ops.core.paging import Page, QueuedPage
from platform_ops.core.ports import (
    Approvals,
    ColourStatus,
    Fence,
    ImageFacts,
    Manifest,
    Point,
    ProbeAnswer,
    RouteState,
    Series,
)
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour, Target, Weights
from platform_ops.core.reports import Report
from platform_ops.core.state import Hold, Phase, Rollout, Wish, heeded

R = TypeVar("R")

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


class ManualClock:
    """Time moves only when `run` lets it: to the next sleeper, once nothing else can go on."""

    def __init__(self, start: datetime = MIDNIGHT) -> None:
        self._now = start
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, duration: timedelta) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + duration, next(self._order), woken))
        await woken

    def at(self, after: timedelta, event: Callable[[], None]) -> None:
        """Call `event` when so much time has passed from now."""
        heapq.heappush(self._events, (self._now + after, next(self._order), event))

    def advance(self, duration: timedelta) -> None:
        self._now += duration

    async def run(self, work: Coroutine[Any, Any, R], limit: timedelta = timedelta(days=3)) -> R:
        """Run `work` to its end in its own time; fails when it takes longer than `limit` of that time."""
        task = asyncio.ensure_future(work)
        end = self._now + limit
        try:
            while not task.done():
                await self._settle()
                if not task.done():
                    self._step(end)
            return task.result()
        finally:
            task.cancel()

    async def _settle(self) -> None:
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        while True:
            await asyncio.sleep(0)
            if not ready:
                return

    def _step(self, end: datetime) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if self._events and (not self._sleepers or self._events[0][0] <= self._sleepers[0][0]):
            self._now, _, event = heapq.heappop(self._events)
            event()
            return
        if not self._sleepers:
            raise AssertionError("nothing sleeps and nothing goes on: the work waits for ever")
        at, _, woken = heapq.heappop(self._sleepers)
        if at > end:
            raise AssertionError(f"not done by {end}")
        self._now = max(self._now, at)
        woken.set_result(None)


class SkewedClock:
    """A process whose clock is off; it sleeps as long as everybody."""

    def __init__(self, true: ManualClock) -> None:
        self._true = true
        self.off_by = timedelta()

    def now(self) -> datetime:
        return self._true.now() + self.off_by

    async def sleep(self, duration: timedelta) -> None:
        await self._true.sleep(duration)


@dataclass
class Behaviour:
    """How a version behaves in this world."""

    ready_after: timedelta | None = timedelta(seconds=3)
    """None: it never becomes ready."""
    error_share: float = 0.0
    p95: float = 0.1
    """Seconds; all requests take so long."""
    failing_probes: float = 0.0
    """Share of the kubelet's probes."""
    memory: float = 0.3
    """Share of its limit that each pod uses."""
    checks: str = ""
    """What its checks answer instead of 200; empty: they pass."""


@dataclass
class _Job:
    rollout_id: str
    ends: datetime
    fails: str = ""


@dataclass
class _Deployment:
    digest: str
    replicas: int
    since: datetime
    lost: int = 0
    """Pods that are down."""
    failing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Segment:
    """From `start` on: by counter and colour, how much is counted a second and what was counted before."""

    start: datetime
    rates: Mapping[str, Mapping[Colour, float]]
    before: Mapping[str, Mapping[Colour, float]]
    memory: Mapping[Colour, float]


COUNTERS = ("requests", "errors", "slow", "probes", "failed probes")
SCRAPE = timedelta(seconds=5)
PROBES_A_SECOND = 1.0


def _asked_for(expression: str) -> str:
    """Which of the World's figures a query of `core.triggers` is about."""
    if "count_over_time" in expression:
        return "scrapes"
    if "container_memory_working_set_bytes" in expression:
        return "memory"
    if "prober_probe_total" in expression:
        return "failed probes" if 'result="failed"' in expression else "probes"
    if "rq_time_bucket" in expression:
        assert 'le=~"5000' in expression, "this world is slow or not at 5 s only"
        return "slow"
    return "errors" if '"5.."' in expression else "requests"


@dataclass
class World:
    """One service in one environment: a cluster, a route, a gateway that counts, users that send requests.

    It is its controller's Workloads, DryRun, TrafficRouter, Metrics, Probe, Images and Migrations. `away`
    names the ports that do not answer; `effects` is what was really done, in order.
    """

    clock: ManualClock
    rate: float = 100.0
    """Requests a second of all users."""
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    deployments: dict[Colour, _Deployment] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    shown: Weights = field(default_factory=Weights)
    """What the data plane does; behind `weights` by `gateway_lag`."""
    gateway_lag: timedelta = timedelta(0)
    counts_probes: bool = False
    """The gateway counts the controller's own requests, too."""
    selected: Colour | None = None
    """What the Service selects."""
    token: int = 0
    approved: set[str] = field(default_factory=set)
    guard: Approvals | None = None
    """The real one, asked instead of `approved`."""
    away: set[str] = field(default_factory=set)
    refuses: str = ""
    """The API refuses manifests with these words."""
    owned: str = ""
    """Somebody else owns the route: what the router says of that."""
    measured: Callable[[tuple[Series, ...]], tuple[Series, ...]] = lambda true: true
    """What the metrics answer instead of the true figures."""
    lost_blobs: set[str] = field(default_factory=set)
    """Digests whose image the registry has no longer whole."""
    migration_takes: timedelta | None = timedelta(seconds=2)
    """None: it never ends."""
    migration_fails: str = ""
    """The log of a migration that fails."""
    migration_breaks: dict[str, str] = field(default_factory=dict)
    """Digest to what its checks answer once the migration ran."""
    jobs: dict[str, _Job] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    after_effect: Callable[[], None] = lambda: None
    _segments: list[_Segment] = field(default_factory=list)
    _first_traffic: dict[Colour, datetime] = field(default_factory=dict)
    _scrapes: dict[tuple[str, Colour], list[Point]] = field(default_factory=dict)
    _turn: itertools.count[int] = field(default_factory=itertools.count)

    def serve(self, colour: Colour, digest: str, replicas: int = 2) -> None:
        """A version that was promoted long ago."""
        long_ago = self.clock.now() - timedelta(days=30)
        self.deployments[colour] = _Deployment(digest, replicas, long_ago)
        self.approved.add(digest)
        self.selected = colour
        self._route(Weights.towards(colour, 100))

    def behave(self, digest: str, **how: Any) -> None:
        """From now on the version behaves so."""
        self.behaviours[digest] = replace(self._behaviour(digest), **how)
        self._new_segment()

    def lose_pods(self, colour: Colour, number: int, words: str = "") -> None:
        deployment = self.deployments[colour]
        deployment.lost = number
        deployment.failing = (words,) if words else ()
        self._new_segment()

    def move_by_hand(self, weights: Weights) -> None:
        """Somebody patches the route without asking anybody."""
        self._route(weights)

    def delete_by_hand(self, *colours: Colour) -> None:
        """Somebody deletes the Deployments."""
        for colour in colours:
            self.deployments.pop(colour, None)
        self._new_segment()

    def delete_namespace(self) -> None:
        """Somebody deletes the namespace: nothing of the service is left, nothing can be written there."""
        self.delete_by_hand(*Colour)
        self.selected = None
        self._route(Weights())
        self.refuses = 'namespaces "llm-service-prod" not found; create the namespace llm-service-prod first'

    # Workloads

    async def apply(self, target: Target, manifests: Sequence[Manifest]) -> None:
        self._answer("workloads")
        if self.refuses:
            raise Refused(self.refuses)
        for manifest in manifests:
            colour, digest = Colour(manifest["colour"]), manifest["digest"]
            known = self.deployments.get(colour)
            if known is None or known.digest != digest:
                self.deployments[colour] = _Deployment(digest, manifest["replicas"], self.clock.now())
                self._done(f"deploy {colour} {digest}")

    async def changes(self, target: Target, manifests: Sequence[Manifest]) -> tuple[ManifestChange, ...]:
        """Of a colour's objects; only its Deployment differs, by the digest."""
        self._answer("workloads")
        return tuple(self._change(manifest) for manifest in manifests)

    def _change(self, manifest: Manifest) -> ManifestChange:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if self.refuses:
            return ManifestChange(kind, name, Change.REFUSED, why=self.refuses)
        known = self.deployments.get(Colour(name.rpartition("-")[2]))
        if known is None:
            return ManifestChange(kind, name, Change.NEW, f"+{kind}")
        if kind == "Deployment" and known.digest not in str(manifest):
            return ManifestChange(kind, name, Change.CHANGED, f"-{known.digest}")
        return ManifestChange(kind, name, Change.UNCHANGED)

    async def status(self, target: Target, colour: Colour) -> ColourStatus:
        self._answer("workloads")
        deployment = self.deployments.get(colour)
        if deployment is None:
            return ColourStatus(exists=False)
        ready = self._ready(colour)
        return ColourStatus(True, deployment.digest, deployment.replicas, ready, deployment.failing)

    async def scale(self, target: Target, colour: Colour, replicas: int) -> None:
        self._answer("workloads")
        deployment = self.deployments[colour]
        if deployment.replicas != replicas:
            deployment.replicas, deployment.since = replicas, self.clock.now()
            self._done(f"scale {colour} {replicas}")

    async def remove(self, target: Target, colour: Colour) -> None:
        self._answer("workloads")
        if self.deployments.pop(colour, None) is not None:
            self._done(f"remove {colour}")

    async def selected_colour(self, target: Target) -> Colour | None:
        return self.selected

    async def select_colour(self, target: Target, colour: Colour) -> None:
        self._answer("workloads")
        if self.selected is not colour:
            self._done(f"select {colour}")
        self.selected = colour

    # Images

    async def inspect(self, service: str, digest: str) -> ImageFacts:
        self._answer("images")
        if digest in self.lost_blobs:
            raise Refused(f"{digest}: the blob sha256:1 is missing; push the image again")
        return ImageFacts(digest, 1)

    # Migrations

    async def migration_status(self, target: Target, job: str) -> MigrationStatus:
        self._answer("workloads")
        known = self.jobs.get(job)
        if known is None:
            return MigrationStatus(JobState.ABSENT)
        if self.clock.now() < known.ends:
            return MigrationStatus(JobState.RUNNING, known.rollout_id)
        if known.fails:
            return MigrationStatus(JobState.FAILED, known.rollout_id, known.fails)
        for digest, answer in self.migration_breaks.items():
            self.behave(digest, checks=answer)
        return MigrationStatus(JobState.SUCCEEDED, known.rollout_id)

    async def start_migration(self, target: Target, migration: Migration, rollout_id: str) -> None:
        seen = await self.migration_status(target, migration.job)
        another = seen.rollout_id != rollout_id
        if seen.state is JobState.ABSENT or (seen.state is JobState.FAILED and another):
            takes = self.migration_takes if self.migration_takes is not None else timedelta(days=365)
            self.jobs[migration.job] = _Job(rollout_id, self.clock.now() + takes, self.migration_fails)
            self._done(f"migrate {migration.job}")

    # TrafficRouter

    async def observe(self, target: Target) -> RouteState:
        self._answer("router")
        self._require_own_route()
        return RouteState(self.weights, self.token)

    async def shift(self, target: Target, weights: Weights, fence: Fence) -> None:
        self._answer("router")
        self._require_own_route()
        if fence.token < self.token:
            raise StaleHolder(f"token {fence.token} is outrun by {self.token}")
        for colour in Colour:
            if weights.of(colour) > self.weights.of(colour):
                deployment = self.deployments.get(colour)
                if deployment is None:
                    raise GateClosed(f"{colour} is not deployed")
                await self._ensure_approved(target, deployment.digest)
        self.token = fence.token
        if weights.routed and 100 in (weights.blue, weights.green):
            self.selected = weights.majority
        if weights != self.weights:
            self._route(weights)
            self._done(f"shift blue {weights.blue} green {weights.green}")

    async def _ensure_approved(self, target: Target, digest: str) -> None:
        if self.guard is not None:
            await self.guard.ensure_allowed(target, digest)
        elif digest not in self.approved:
            raise NotApproved(f"{digest} is not approved")

    def _require_own_route(self) -> None:
        if self.owned:
            raise Refused(self.owned)

    # Metrics

    async def range(
        self, expression: str, start: datetime, end: datetime, step: timedelta
    ) -> tuple[Series, ...]:
        """A point for each scrape, and the last one. The future has none, whatever the asker's clock says."""
        self._answer("metrics")
        return self.measured(self._true(expression, start, end))

    def _true(self, expression: str, start: datetime, end: datetime) -> tuple[Series, ...]:
        colour = Colour.BLUE if "-blue" in expression else Colour.GREEN
        first = self._first_traffic.get(colour)
        end = min(end, self.clock.now())
        if first is None or max(start, first) > end:
            return ()
        what = _asked_for(expression)
        scrapes = self._scrapes.setdefault((what, colour), [])
        while first + len(scrapes) * SCRAPE <= end:
            at = first + len(scrapes) * SCRAPE
            scrapes.append(Point(at, self._value(what, colour, at)))
        begin = max(0, -((first - start) // SCRAPE))
        points = scrapes[begin : (end - first) // SCRAPE + 1]
        if not points or points[-1].at < end:
            points.append(Point(end, self._value(what, colour, end)))
        return (Series(tuple(points)),)

    async def instant(self, expression: str, at: datetime) -> float | None:
        series = await self.range(expression, at, at, seconds(1))
        return series[0].points[-1].value if series else None

    # Probe

    async def request(
        self,
        target: Target,
        path: str,
        *,
        method: str = "GET",
        colour: Colour | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: timedelta = timedelta(seconds=5),
    ) -> ProbeAnswer:
        if "probe" in self.away:
            return ProbeAnswer(0, timeout, error="connection refused")
        chosen = colour or self._weighted()
        if chosen is None or not self._ready(chosen):
            return ProbeAnswer(503, seconds(0.01))
        behaviour = self._behaviour(self.deployments[chosen].digest)
        if self.counts_probes:
            self._count(chosen)
        status = int(behaviour.checks) if behaviour.checks else 200
        return ProbeAnswer(status, seconds(behaviour.p95), chosen, b"{}")

    def _count(self, colour: Colour) -> None:
        self._first_traffic.setdefault(colour, self.clock.now())
        self._new_segment()
        last = self._segments.pop()
        requests = {**last.before["requests"], colour: last.before["requests"][colour] + 1}
        self._segments.append(replace(last, before={**last.before, "requests": requests}))

    def _weighted(self) -> Colour | None:
        """Every hundred requests are shared exactly as the weights say."""
        if not self.shown.routed:
            return None
        position = (next(self._turn) * 37) % 100
        return Colour.BLUE if position < self.shown.blue else Colour.GREEN

    def _answer(self, port: str) -> None:
        if port in self.away:
            raise Unavailable(f"{port} does not answer")

    def _done(self, what: str) -> None:
        self.effects.append(what)
        self.after_effect()

    def _behaviour(self, digest: str) -> Behaviour:
        return self.behaviours.get(digest, Behaviour())

    def _ready(self, colour: Colour) -> int:
        deployment = self.deployments.get(colour)
        if deployment is None:
            return 0
        after = self._behaviour(deployment.digest).ready_after
        if after is None or self.clock.now() < deployment.since + after:
            return 0
        return max(0, deployment.replicas - deployment.lost)

    def _route(self, weights: Weights) -> None:
        self.weights = weights
        if self.gateway_lag:
            self.clock.at(self.gateway_lag, lambda: self._show(weights))
        else:
            self._show(weights)

    def _show(self, weights: Weights) -> None:
        self.shown = weights
        for colour in Colour:
            if weights.of(colour):
                self._first_traffic.setdefault(colour, self.clock.now())
        self._new_segment()

    def _new_segment(self) -> None:
        now = self.clock.now()
        before = {what: dict.fromkeys(Colour, 0.0) for what in COUNTERS}
        if self._segments:
            last = self._segments[-1]
            lasted = (now - last.start).total_seconds()
            for what, counted in before.items():
                for colour in Colour:
                    counted[colour] = last.before[what][colour] + last.rates[what][colour] * lasted
        rates: dict[str, dict[Colour, float]] = {what: {} for what in COUNTERS}
        memory = {}
        for colour in Colour:
            deployment = self.deployments.get(colour)
            behaviour = self._behaviour(deployment.digest) if deployment else Behaviour()
            requests = self.rate * self.shown.of(colour) / 100
            rates["requests"][colour] = requests
            rates["errors"][colour] = requests * (behaviour.error_share if self._ready(colour) else 1.0)
            rates["slow"][colour] = requests if behaviour.p95 > 5 else 0.0
            rates["probes"][colour] = PROBES_A_SECOND
            rates["failed probes"][colour] = PROBES_A_SECOND * behaviour.failing_probes
            memory[colour] = behaviour.memory
        self._segments.append(_Segment(now, rates, before, memory))

    def _value(self, what: str, colour: Colour, at: datetime) -> float:
        segment = next(one for one in reversed(self._segments) if one.start <= at)
        if what == "scrapes":
            return 24.0
        if what == "memory":
            return segment.memory[colour]
        lasted = (at - segment.start).total_seconds()
        return segment.before[what][colour] + segment.rates[what][colour] * lasted


class MemoryRollouts:
    """The rules of the ledger's rollouts: one at a time per target, leases, tokens, people's columns."""

    def __init__(self, journal: MemoryJournal, holds: MemoryDigestHolds) -> None:
        self._rows: dict[str, Rollout] = {}
        self._journal = journal
        self._holds = holds
        self._tokens = itertools.count(1)

    async def insert(self, rollout: Rollout, opened: Entry) -> Rollout:
        same = await self.of_run(rollout.dag_id, rollout.run_id)
        if same is not None:
            return same
        active = await self.active(rollout.target.service, rollout.target.environment)
        if active is not None:
            warm = active.phase in (Phase.PROMOTED, Phase.WARM)
            if not warm or active.hold or active.wish:
                raise Held(
                    f"{active.release.name} is being rolled out in {active.run_id}, held by {active.holder}"
                )
            self._rows[active.id] = replace(
                active,
                phase=Phase.RECLAIMED,
                entered_at=opened.at,
                token=next(self._tokens),
                lease_until=None,
                reason=f"warm window ended by {rollout.run_id}",
            )
            why = f"warm window ended by {rollout.release.name} ({rollout.run_id})"
            await self._journal.write(
                replace(opened, kind="note", what="EndWarmWindow", why=why, rollout_id=active.id, token=None)
            )
        self._rows[rollout.id] = rollout
        await self._journal.write(opened)
        return rollout

    async def get(self, rollout_id: str) -> Rollout:
        if rollout_id not in self._rows:
            raise NotFound(f"no rollout {rollout_id}")
        return self._rows[rollout_id]

    async def of_run(self, dag_id: str, run_id: str) -> Rollout | None:
        return next((r for r in self._rows.values() if (r.dag_id, r.run_id) == (dag_id, run_id)), None)

    async def active(self, service: str, environment: str) -> Rollout | None:
        key = f"{service}/{environment}"
        return next((r for r in self._rows.values() if r.target.key == key and not r.phase.terminal), None)

    async def unheld(self, now: datetime) -> tuple[Rollout, ...]:
        return tuple(
            r
            for r in self._rows.values()
            if not r.phase.terminal
            and (r.lease_until is None or r.lease_until <= now or r.lease_until > now + APART)
        )

    async def of(self, service: str, environment: str, limit: int = 50) -> tuple[Rollout, ...]:
        key = f"{service}/{environment}"
        return tuple(r for r in reversed(self._rows.values()) if r.target.key == key)[:limit]

    async def ended_badly(self, after: datetime) -> tuple[Rollout, ...]:
        bad = (Phase.ROLLED_BACK, Phase.NEEDS_ATTENTION)
        return tuple(r for r in self._rows.values() if r.phase in bad and r.phase_began >= after)

    async def claim(self, rollout_id: str, holder: str, now: datetime, until: datetime) -> Rollout:
        row = await self.get(rollout_id)
        if row.lease_until is not None and row.lease_until > now:
            raise Held(f"{row.target.key} is held by {row.holder}")
        self._rows[row.id] = replace(row, holder=holder, token=next(self._tokens), lease_until=until)
        return self._rows[row.id]

    async def renew(self, rollout_id: str, token: int, until: datetime) -> None:
        row = self._fenced(rollout_id, token)
        self._rows[rollout_id] = replace(row, lease_until=until)

    async def release(self, rollout_id: str, token: int, now: datetime) -> None:
        row = self._rows[rollout_id]
        if row.token == token:
            self._rows[rollout_id] = replace(row, lease_until=now)

    async def save(
        self, rollout: Rollout, entry: Entry | None = None, hold: DigestHold | None = None
    ) -> None:
        row = self._fenced(rollout.id, rollout.token)
        names = (
            "phase",
            "step",
            "weights",
            "moved_at",
            "entered_at",
            "shifted_at",
            "since",
            "checked",
            "baseline",
            "reason",
        )
        self._rows[row.id] = replace(row, **{name: getattr(rollout, name) for name in names})
        if entry is not None:
            await self._journal.write(entry)
        if hold is not None:
            await self._holds.hold(hold, held_entry(rollout, hold))

    async def raise_goal(self, rollout_id: str, goal: Phase) -> Rollout:
        row = await self.get(rollout_id)
        if not row.goal.reached(goal):
            self._rows[rollout_id] = replace(row, goal=goal)
        return self._rows[rollout_id]

    async def hold(self, rollout_id: str, hold: Hold, entry: Entry) -> Rollout:
        row = self._running(await self.get(rollout_id))
        if row.hold is None:
            await self._write(replace(row, hold=hold), entry)
        return self._rows[rollout_id]

    async def resume(self, rollout_id: str, now: datetime, entry: Entry) -> Rollout:
        row = await self.get(rollout_id)
        if row.hold is not None:
            await self._write(replace(row, hold=None, since=now if row.since else None), entry)
        return self._rows[rollout_id]

    async def wish_back(self, rollout_id: str, wish: Wish, entry: Entry) -> Rollout:
        row = self._running(await self.get(rollout_id))
        if not heeded(wish, row):
            return row
        if row.phase is Phase.NEEDS_ATTENTION:
            row = replace(row, phase=Phase.ROLLING_BACK, entered_at=wish.at, since=None, checked=None)
        await self._write(replace(row, wish=wish, hold=None), entry)
        return self._rows[rollout_id]

    async def _write(self, row: Rollout, entry: Entry) -> None:
        self._rows[row.id] = row
        await self._journal.write(entry)

    def _fenced(self, rollout_id: str, token: int) -> Rollout:
        row = self._rows[rollout_id]
        if row.token != token:
            raise StaleHolder(f"somebody took over after token {token}")
        return row

    def _running(self, row: Rollout) -> Rollout:
        if row.phase.terminal:
            raise GateClosed(f"{row.release.name} is over ({row.phase})")
        return row


class MemoryJournal:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def write(self, entry: Entry) -> None:
        self.entries.append(replace(entry, number=len(self.entries) + 1))

    async def of_rollout(self, rollout_id: str) -> tuple[Entry, ...]:
        return tuple(e for e in self.entries if e.rollout_id == rollout_id)


class MemoryDigestHolds:
    """Lines of holds and releases; the newest of a digest in an environment counts."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.lines: list[DigestHold] = []
        self._journal = journal

    async def standing(
        self, service: str, environment: str | None = None, digest: str | None = None
    ) -> tuple[DigestHold, ...]:
        until = len(ENVIRONMENTS) if environment is None else ENVIRONMENTS.index(environment) + 1
        newest = {
            (line.environment, line.digest): line
            for line in self.lines
            if line.service == service
            and line.environment in ENVIRONMENTS[:until]
            and digest in (None, line.digest)
        }
        return tuple(line for line in newest.values() if line.held)

    async def hold(self, hold: DigestHold, entry: Entry) -> None:
        if all((one.rollout_id, one.digest) != (hold.rollout_id, hold.digest) for one in self.lines):
            self.lines.append(hold)
            await self._journal.write(entry)

    async def history(self, service: str, digest: str) -> tuple[DigestHold, ...]:
        return tuple(line for line in self.lines if (line.service, line.digest) == (service, digest))

    async def release(self, release: DigestHold, entry: Entry) -> tuple[DigestHold, ...]:
        ended = await self.standing(release.service, None, release.digest)
        for hold in ended:
            self.lines.append(replace(release, environment=hold.environment))
            await self._journal.write(replace(entry, environment=hold.environment))
        return ended


class MemoryOutbox:
    def __init__(self, clock: ManualClock) -> None:
        self.pages: dict[str, QueuedPage] = {}
        self._clock = clock

    async def enqueue(self, page: Page) -> bool:
        if page.key in self.pages:
            return False
        self.pages[page.key] = QueuedPage(page, self._clock.now())
        return True

    async def get(self, key: str) -> QueuedPage:
        if key not in self.pages:
            raise NotFound(f"no page {key}")
        return self.pages[key]

    async def unsent(self, queued_before: datetime) -> tuple[QueuedPage, ...]:
        return tuple(p for p in self.pages.values() if p.sent_at is None and p.queued_at <= queued_before)

    async def mark_sent(self, key: str, message_id: str) -> None:
        queued = self.pages[key]
        if queued.sent_at is None:
            self.pages[key] = replace(
                queued,
                sent_at=self._clock.now(),
                message_id=message_id,
                attempts=queued.attempts + 1,
                last_error="",
            )

    async def mark_failed(self, key: str, error: str) -> None:
        queued = self.pages[key]
        if queued.sent_at is None:
            self.pages[key] = replace(queued, attempts=queued.attempts + 1, last_error=error)


class MemoryReports:
    def __init__(self, clock: ManualClock) -> None:
        self.kept: dict[str, Report] = {}
        self._clock = clock

    async def ask(self, report: Report) -> bool:
        if report.rollout_id in self.kept:
            return False
        self.kept[report.rollout_id] = report
        return True

    async def of_run(self, dag_id: str, run_id: str) -> Report | None:
        same_run = (r for r in self.kept.values() if (r.dag_id, r.run_id) == (dag_id, run_id))
        return next(same_run, None)

    async def waiting(self) -> tuple[Report, ...]:
        unstarted = (report for report in self.kept.values() if report.started_at is None)
        return tuple(sorted(unstarted, key=lambda report: report.asked_at))

    async def mark_started(self, rollout_id: str) -> None:
        self._tried(rollout_id, started_at=self._clock.now(), last_error="")

    async def mark_failed(self, rollout_id: str, error: str) -> None:
        self._tried(rollout_id, last_error=error)

    def _tried(self, rollout_id: str, **outcome: Any) -> None:
        report = self.kept[rollout_id]
        if report.started_at is None:
            self.kept[rollout_id] = replace(report, attempts=report.attempts + 1, **outcome)


class MemoryHandChanges:
    def __init__(self, journal: MemoryJournal) -> None:
        self.rows: dict[int, HandChange] = {}
        self._journal = journal

    async def begin(self, change: HandChange, intent: Entry) -> HandChange:
        newest = await self.newest(change.event)
        if newest is not None and newest.ended_at is None:
            return newest
        number = len(self.rows) + 1
        self.rows[number] = replace(change, number=number)
        await self._journal.write(intent)
        return self.rows[number]

    async def newest(self, event: str) -> HandChange | None:
        return next((row for row in reversed(self.rows.values()) if row.event == event), None)

    async def finish(self, number: int, outcome: Outcome, said: str, at: datetime, done: Entry) -> bool:
        if self.rows[number].ended_at is not None:
            return False
        self.rows[number] = replace(self.rows[number], outcome=outcome, said=said, ended_at=at)
        await self._journal.write(done)
        return True

    async def of_rollout(self, rollout_id: str) -> tuple[HandChange, ...]:
        return tuple(row for row in self.rows.values() if row.rollout_id == rollout_id)


class MemoryOutcomes:
    """Only how promotions ended."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    async def finish(self, promotion_id: str, outcome: str) -> None:
        self.outcomes[promotion_id] = outcome


class Killed(BaseException):
    """kill -9: nothing of the process runs any more, not even what stands in `finally`."""


class MemoryLedger:
    """The ledger's tables that the controller uses. `away` is a ledger that does not answer."""

    def __init__(self, clock: ManualClock) -> None:
        self.away = False
        self.journal_table = MemoryJournal()
        self.hold_table = MemoryDigestHolds(self.journal_table)
        self.rollout_table = MemoryRollouts(self.journal_table, self.hold_table)
        self.outbox_table = MemoryOutbox(clock)
        self.report_table = MemoryReports(clock)
        self.outcome_table = MemoryOutcomes()
        self.hand_table = MemoryHandChanges(self.journal_table)

    def connection(self, process: CrashAt | None = None) -> Ledger:
        """As one process sees it: after its death it writes nothing more."""
        tables = {
            "rollouts": self.rollout_table,
            "journal": self.journal_table,
            "outbox": self.outbox_table,
            "reports": self.report_table,
            "promotions": self.outcome_table,
            "digest_holds": self.hold_table,
            "hand_changes": self.hand_table,
        }
        wrapped: dict[str, Any] = {name: _Table(self, table, process) for name, table in tables.items()}
        missing = {one.name: None for one in fields(Ledger) if one.name not in wrapped}
        return Ledger(**wrapped, **missing)  # type: ignore[arg-type]


class _Table:
    def __init__(self, ledger: MemoryLedger, table: Any, process: CrashAt | None) -> None:
        self._ledger = ledger
        self._table = table
        self._process = process

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._table, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            if self._process is not None and self._process.dead:
                raise Killed
            if self._ledger.away:
                raise Unavailable("the ledger does not answer")
            return await method(*arguments, **named)

        return call


class CrashAt:
    """The process dies at the n-th label that it reaches, or at the first one of that name."""

    def __init__(self, number: int | None = None, label: str | None = None) -> None:
        self._number = number
        self._label = label
        self.reached: list[str] = []
        self.dead = False

    def reach(self, label: str) -> None:
        if self.dead:
            raise Killed
        self.reached.append(label)
        if len(self.reached) == self._number or label == self._label:
            self.dead = True
            raise Killed


class WorldMigrations:
    """The Migrations port of a world, whose own `status` is that of its Workloads."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def status(self, target: Target, job: str) -> MigrationStatus:
        return await self._world.migration_status(target, job)

    async def start(self, target: Target, migration: Migration, rollout_id: str) -> None:
        await self._world.start_migration(target, migration, rollout_id)
