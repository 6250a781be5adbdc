"""The ports: what the controller, the tasks and `ops` ask of the world. Adapters implement them.

All methods are coroutines and raise the errors of `core.errors`: `Unavailable` and `Conflict` when trying
again may help, `Refused`, `NotFound`, `NotApproved`, `StaleHolder` when it does not. Times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from .migration import Migration, MigrationStatus
from .release import Colour, Target, Weights
from .source import Commit

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class ColourStatus:
    """The Deployment of one colour, as the cluster shows it now."""

    exists: bool
    digest: str | None = None
    """`sha256:…` of the image of its pod template."""
    desired: int = 0
    ready: int = 0
    """Ready pods *of the current template* that the colour's Service routes to."""
    failing: tuple[str, ...] = ()
    """What is wrong with its pods: `CrashLoopBackOff: exit 1 (3 restarts)`, `ImagePullBackOff: …`."""
    restarts: int = 0


class Workloads(Protocol):
    """Deployments and their companions of one environment (adapters.kubernetes)."""

    async def apply(self, target: Target, manifests: Sequence[Manifest]) -> None:
        """Server-side apply, idempotent. `Refused` with the API's own words when a manifest is invalid."""

    async def status(self, target: Target, colour: Colour) -> ColourStatus: ...

    async def scale(self, target: Target, colour: Colour, replicas: int) -> None: ...

    async def remove(self, target: Target, colour: Colour) -> None:
        """The colour's Deployment and pods go; done when nothing of it is left. Missing is fine."""

    async def selected_colour(self, target: Target) -> Colour | None:
        """What the Service `<service>` selects (people patch it in an emergency); None if it is missing."""

    async def select_colour(self, target: Target, colour: Colour) -> None: ...


class Migrations(Protocol):
    """Schema migrations as Jobs (adapters.migrations)."""

    async def status(self, target: Target, job: str) -> MigrationStatus: ...

    async def start(self, target: Target, migration: Migration, rollout_id: str) -> None:
        """Idempotent: a Job of that name that runs or succeeded stays as it is; one that failed for another
        rollout is replaced. `Refused` with the API's own words when a manifest is invalid."""


@dataclass(frozen=True)
class Fence:
    """Who acts: the rollout's fencing token. The router refuses a token older than the route has seen."""

    rollout_id: str
    token: int


@dataclass(frozen=True)
class RouteState:
    """The route as stored. `token` is the highest fencing token that patched it (0: never)."""

    weights: Weights
    token: int
    trouble: str = ""
    """Why it cannot be read as shares of the two colours, and what to do; then the weights are 0."""


class TrafficRouter(Protocol):
    """Moves production traffic (adapters.traffic). The guard of rule 2 stands here.

    `shift` reads the digests of both colours from the cluster and asks the ledger for each colour whose
    weight would rise: `NotApproved` unless it is approved (or was, for going back) in that environment.
    """

    async def observe(self, target: Target) -> RouteState: ...

    async def shift(self, target: Target, weights: Weights, fence: Fence) -> None:
        """Patch the weights with a resourceVersion precondition. `StaleHolder` when `fence` is outrun."""


@dataclass(frozen=True)
class Point:
    at: datetime
    value: float


@dataclass(frozen=True)
class Series:
    """One time series: its points, oldest first, and its labels without the metric's name."""

    points: tuple[Point, ...]
    labels: Mapping[str, str] = field(default_factory=dict)


class Metrics(Protocol):
    """Prometheus (adapters.prometheus). An empty answer is an empty tuple: no data is not success."""

    async def range(
        self, expression: str, start: datetime, end: datetime, step: timedelta
    ) -> tuple[Series, ...]:
        """All series of a range query; NaN points are left out, and series without points."""

    async def instant(self, expression: str, at: datetime) -> float | None: ...


@dataclass(frozen=True)
class ProbeAnswer:
    """One HTTP exchange seen from outside. `status` 0: no answer, `error` says why."""

    status: int
    latency: timedelta
    colour: Colour | None = None
    """Of the response header `x-platform-colour`."""
    body: bytes = b""
    error: str = ""


class Probe(Protocol):
    """Requests to a service through its gateway (adapters.probe). Never raises for a failed request."""

    async def request(
        self,
        target: Target,
        path: str,
        *,
        method: str = "GET",
        colour: Colour | None = None,
        headers: Mapping[str, str] = ...,
        body: bytes = b"",
        timeout: timedelta = ...,
    ) -> ProbeAnswer:
        """`colour` reaches that colour whatever the weights are (a preview); None takes the weighted way."""


class SourceRepository(Protocol):
    """The service's git repository (adapters.git)."""

    async def head(self, service: str, branch: str) -> str: ...

    async def version_at(self, service: str, commit: str) -> str:
        """The version that the tree states (pyproject's project.version)."""

    async def committed_at(self, service: str, commit: str) -> datetime: ...

    async def authors(self, service: str, commit: str, since: str | None) -> frozenset[str]:
        """E-mail addresses of authors and committers in `since..commit`; only of `commit` when None. What the
        service identity made (its own merges, signed with its own key) has none."""

    async def history(self, service: str, commit: str, since: str | None) -> Sequence[Commit]:
        """The commits of `since..commit`, newest first; all that lead to `commit` when None."""

    async def is_ancestor(self, service: str, ancestor: str, commit: str) -> bool:
        """Whether `commit` is `ancestor` or came of it; False for an `ancestor` that is gone."""

    async def tree_of(self, service: str, commit: str) -> str:
        """The id of the commit's tree: equal for equal sources, whatever their history is."""

    async def checkout(self, service: str, commit: str, into: Path) -> None: ...

    async def bundle(self, service: str, commit: str, into: Path) -> None:
        """A git bundle that holds `commit` and its history."""


@dataclass(frozen=True)
class ImageFacts:
    digest: str
    size: int
    """Bytes of all blobs, compressed."""
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    layers: tuple[str, ...] = ()
    """Digests of the (first platform's) layers, the lowest first."""


class Images(Protocol):
    """Registry and builder (adapters.images)."""

    async def find(self, service: str, tag: str) -> str | None:
        """The digest behind a tag; None when there is no such tag."""

    async def inspect(self, service: str, digest: str) -> ImageFacts:
        """Manifest, config and all blobs are there and the manifest's digest is right, else `Refused`."""

    async def build(self, service: str, source: Path, tag: str, labels: Mapping[str, str]) -> str:
        """Build and push; returns the digest."""

    def reference(self, service: str, digest: str) -> str:
        """`registry/name@sha256:…` as a pod names it."""

    async def bill_of_materials(self, service: str, digest: str, created: datetime) -> bytes:
        """CycloneDX JSON of what is installed in the image, by its layers: the same bytes each time."""


@dataclass(frozen=True)
class Attestation:
    """A document about an image, as the registry holds it."""

    artifact_type: str
    digest: str
    """Of the artifact manifest that refers to the image."""
    content: bytes


class Attestations(Protocol):
    """Documents beside an image in its registry (adapters.attestations)."""

    async def attach(self, service: str, digest: str, artifact_type: str, content: bytes) -> str:
        """Idempotent: the same document is there once. Returns the digest of its artifact manifest."""

    async def of(self, service: str, digest: str) -> tuple[Attestation, ...]:
        """Everything that refers to the image. `Refused` when one of them is not whole."""


class Chat(Protocol):
    """Where pages go first (adapters.slack)."""

    async def find(self, channel: str, page_id: str) -> str | None:
        """The message id of a page that already arrived: an answer lost on the way must not page twice."""

    async def post(self, channel: str, page_id: str, text: str, blocks: Sequence[Mapping[str, Any]]) -> str:
        """Returns the message id; the sender verifies it with `find`."""


class Runs(Protocol):
    """Runs of Airflow's DAGs (adapters.airflow_api)."""

    async def start(self, dag_id: str, run_id: str) -> None:
        """Start a run under this id; one that is there already is fine. `NotFound` without such a DAG."""


class ObjectStore(Protocol):
    async def put(self, key: str, path: Path) -> None: ...

    async def presigned_get(self, key: str, expires: timedelta) -> str: ...


class Clock(Protocol):
    """Injected so that nothing but the outermost layer asks for the time."""

    def now(self) -> datetime: ...

    async def sleep(self, duration: timedelta) -> None: ...


class CrashPoints(Protocol):
    """Named places between effects. Does nothing in production; tests inject one that dies (ADR-8)."""

    def reach(self, label: str) -> None: ...


class Approvals(Protocol):
    """The guard's question (adapters.ledger.guard), asked by the router for a colour that gains weight."""

    async def ensure_allowed(self, target: Target, digest: str) -> None:
        """Returns when the ledger holds approvals of `digest` in the target's environment that let it start
        now, or once did and it serves or served there (going back never waits). Else `NotApproved`."""
