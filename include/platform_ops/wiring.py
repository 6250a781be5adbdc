"""The only place that picks adapters: settings and catalog in, a desk with everything on it out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

import httpx

from platform_ops.adapters.airflow_api import AirflowApi
from platform_ops.adapters.attestations import RegistryAttestations
from platform_ops.adapters.clock import SystemClock
from platform_ops.adapters.cluster_view import ClusterView
from platform_ops.adapters.dry_run import KubernetesDryRun
from platform_ops.adapters.follow_ups import FollowUps
from platform_ops.adapters.gathered_metrics import GatheredMetrics
from platform_ops.adapters.git import (
    GitBranches,
    GitRepositories,
    GitSignatures,
    Identity,
    Mirrors,
    listed_signers,
)
from platform_ops.adapters.hands import Hands
from platform_ops.adapters.images import DEFAULT_BUILD_COMMAND, ImageName, RegistryImages
from platform_ops.adapters.kube_api import KubeApi
from platform_ops.adapters.kubernetes import KubernetesWorkloads
from platform_ops.adapters.ledger import Ledger
from platform_ops.adapters.ledger.guard import LedgerApprovals
from platform_ops.adapters.manifests import Manifests
from platform_ops.adapters.migrations import KubernetesMigrations
from platform_ops.adapters.object_store import S3ObjectStore
from platform_ops.adapters.outbox import Pager
from platform_ops.adapters.probe import HttpProbe
from platform_ops.adapters.prometheus import PrometheusMetrics
from platform_ops.adapters.registry import Credentials, Registry
from platform_ops.adapters.reporter import Reporter
from platform_ops.adapters.slack import SlackChat
from platform_ops.adapters.traffic import Guard, HTTPRouteRouter, RouterOfTarget, ServiceRouter
from platform_ops.catalog.last_valid import Loaded
from platform_ops.catalog.load import load_last_valid
from platform_ops.catalog.models import ENVIRONMENTS, Catalog
from platform_ops.catalog.policy import load_last_valid_policy
from platform_ops.catalog.policy_models import GatePolicy
from platform_ops.catalog.profiles import with_profile
from platform_ops.controller.admission import Admission
from platform_ops.controller.candidates import Candidates
from platform_ops.controller.gate_inputs import GateInputs
from platform_ops.controller.handwork import Handwork
from platform_ops.controller.planning import rollout_request
from platform_ops.controller.promotion_planner import PromotionPlanner
from platform_ops.controller.promotion_rules import PromotionRules
from platform_ops.controller.returning import Return
from platform_ops.controller.rollouts import NoCrashPoints, Ports, RolloutController, RolloutRequest
from platform_ops.core.errors import CatalogError
from platform_ops.core.ports import Clock, CrashPoints, Metrics
from platform_ops.core.records import Promotion
from platform_ops.core.release import Router, Target
from platform_ops.settings import Settings, settings

__all__ = [
    "Desk",
    "Settings",
    "catalog",
    "connect",
    "connect_shared",
    "gate_policy",
    "require_valid_catalog",
    "settings",
]

_HTTP_TIMEOUT = httpx.Timeout(10.0)
_GATHER = 0.02
"""Seconds that a read of a rollout waits for others, where many are driven."""
_NEVER_BY_PROXY = {"all://127.0.0.1": None, "all://localhost": None}
"""A proxy of the environment is for Slack and registries outside, whatever NO_PROXY says."""


def catalog() -> Catalog:
    """The last valid catalog with this process's profile applied. Reads files only."""
    return _loaded(settings()).value


def gate_policy() -> GatePolicy:
    """The last valid gate policy. Reads files only."""
    return _loaded_policy(settings()).value


def require_valid_catalog() -> None:
    """Raises CatalogError with every problem of catalog and gate policy, whatever their valid copies say."""
    chosen = settings()
    if problems := (*_loaded(chosen).problems, *_loaded_policy(chosen).problems):
        raise CatalogError(problems)


class Desk:
    """Every port, made at first use: a process needs only the settings of what it asks for.

    `for_many`: it drives many rollouts at once, so that what they ask at the same moment is asked once.
    """

    def __init__(
        self,
        chosen: Settings,
        ledger: Ledger,
        http: httpx.AsyncClient,
        clock: Clock,
        crash: CrashPoints,
        *,
        for_many: bool = False,
    ) -> None:
        self.settings = chosen
        self._for_many = for_many
        self.ledger = ledger
        self.clock = clock
        self._http = http
        self._crash = crash

    @cached_property
    def catalog(self) -> Catalog:
        return _loaded(self.settings).value

    @cached_property
    def gate_policy(self) -> GatePolicy:
        return _loaded_policy(self.settings).value

    @cached_property
    def kube(self) -> KubeApi:
        return KubeApi(Path(self.settings.need("kubeconfig")))

    @cached_property
    def manifests(self) -> Manifests:
        return Manifests(Path(self.settings.need("manifests")), self.catalog)

    @cached_property
    def cluster_view(self) -> ClusterView:
        return ClusterView(self.kube)

    @cached_property
    def workloads(self) -> KubernetesWorkloads:
        reader = self.cluster_view if self._for_many else None
        return KubernetesWorkloads(self.kube, self.manifests.service, reader=reader)

    @cached_property
    def migrations(self) -> KubernetesMigrations:
        return KubernetesMigrations(self.kube)

    @cached_property
    def approvals(self) -> LedgerApprovals:
        """The guard. Who holds a role is read anew each time: a person may have been taken out of it."""
        return LedgerApprovals(
            self.ledger, self.clock, lambda role: _loaded(self.settings).value.people_with(role)
        )

    @cached_property
    def router(self) -> RouterOfTarget:
        guard = Guard(self.workloads, self.approvals)
        route, service = self.manifests.route, self.manifests.service
        by_weight = HTTPRouteRouter(self.kube, self.workloads, guard, route)
        by_selector = ServiceRouter(self.kube, self.workloads, guard, service, route)
        return RouterOfTarget({Router.HTTP_ROUTE: by_weight, Router.SERVICE: by_selector})

    @cached_property
    def metrics(self) -> Metrics:
        prometheus = PrometheusMetrics(self._http, self.settings.need("prometheus_url"))
        return GatheredMetrics(prometheus) if self._for_many else prometheus

    @cached_property
    def probe(self) -> HttpProbe:
        return HttpProbe(self._http, self.settings.gateway_url, self.workloads.served_colour)

    @cached_property
    def mirrors(self) -> Mirrors:
        urls = {name: service.repository for name, service in self.catalog.services.items()}
        return Mirrors(urls, Path(self.settings.need("state")))

    @cached_property
    def signatures(self) -> GitSignatures:
        return GitSignatures(
            self.mirrors, (*self.catalog.signers(), *listed_signers(self.settings.allowed_signers))
        )

    @cached_property
    def source(self) -> GitRepositories:
        return GitRepositories(self.mirrors, self.signatures, self.catalog.service_identity.email)

    @cached_property
    def branches(self) -> GitBranches:
        who, key = self.catalog.service_identity, self.settings.signing_key
        return GitBranches(
            self.mirrors, self.signatures, Identity(who.name, who.email, Path(key) if key else None)
        )

    @cached_property
    def images(self) -> RegistryImages:
        command = self.settings.build_words or DEFAULT_BUILD_COMMAND
        return RegistryImages(self._registries, self._image_names, command)

    @cached_property
    def attestations(self) -> RegistryAttestations:
        return RegistryAttestations(self._registries, self._image_names)

    @cached_property
    def _image_names(self) -> dict[str, ImageName]:
        return {name: self._image_name(service.image) for name, service in self.catalog.services.items()}

    @cached_property
    def _registries(self) -> dict[str, Registry]:
        credentials = Credentials(self.settings.registry_user, self.settings.registry_password)
        return {
            name.host: Registry(self._http, name.host, credentials, plain_http=self.settings.plain_http)
            for name in self._image_names.values()
        }

    @cached_property
    def chat(self) -> SlackChat:
        return SlackChat(self._http, self.settings.need("slack_token"), self.settings.slack_api_url)

    @cached_property
    def pager(self) -> Pager:
        return Pager(self.ledger, self.chat, self.clock)

    @cached_property
    def objects(self) -> S3ObjectStore:
        need = self.settings.need
        return S3ObjectStore(need("s3_url"), need("s3_bucket"), need("s3_access_key"), need("s3_secret_key"))

    @cached_property
    def airflow(self) -> AirflowApi:
        need = self.settings.need
        return AirflowApi(self._http, need("airflow_url"), need("airflow_user"), need("airflow_password"))

    @cached_property
    def reporter(self) -> Reporter:
        return Reporter(self.ledger, self.airflow, self.clock)

    @cached_property
    def follow_ups(self) -> FollowUps:
        return FollowUps(self.ledger, self.source, self.clock, self.branch_names)

    def branch_names(self, service: str) -> tuple[str, ...]:
        """Those of the service's environments, from the last back to the first."""
        return tuple(self.catalog.environment(service, name).branch for name in reversed(ENVIRONMENTS))

    @cached_property
    def controller(self) -> RolloutController:
        return RolloutController(self._ports, self._ensure_admitted)

    @cached_property
    def _ports(self) -> Ports:
        return Ports(
            self.workloads,
            self.router,
            self.metrics,
            self.probe,
            self.ledger,
            self.clock,
            self._crash,
            self.images,
            self.migrations,
        )

    @cached_property
    def returns(self) -> Return:
        return Return(self.controller, self.ledger, self.rollout_request)

    def handwork(self, holder: str) -> Handwork:
        """What sees to it that changes by hand are followed, refused or put back, on behalf of `holder`."""
        hands = Hands(self.kube, self.workloads, self.router, self.cluster_view)
        return Handwork(self._ports, hands, self.approvals, self._targets, holder)

    def _targets(self) -> list[Target]:
        found = _loaded(self.settings).value
        return [found.target(service, place) for service in found.services for place in ENVIRONMENTS]

    @cached_property
    def admission(self) -> Admission:
        return Admission(self.ledger, self.router, self.probe, self.clock, self.catalog, self.gate_policy)

    @cached_property
    def candidates(self) -> Candidates:
        return Candidates(self.ledger, self.source, self.catalog)

    @cached_property
    def gate_inputs(self) -> GateInputs:
        return GateInputs(
            self.source, self.catalog, self.gate_policy, lambda: self.settings.need("gates_image")
        )

    @cached_property
    def planner(self) -> PromotionPlanner:
        rules = PromotionRules(
            self.ledger, self.catalog, self.admission, self.follow_ups, self.branches.state, self.images
        )
        return PromotionPlanner(
            self._ports,
            self.catalog,
            self.gate_policy,
            self.candidates,
            self.gate_inputs,
            rules,
            self.manifests,
            KubernetesDryRun(self.kube),
        )

    async def _ensure_admitted(self, promotion_id: str) -> None:
        """Made when it is asked for: who only drives rollouts needs no gate policy."""
        hotfix = await self.ledger.hotfixes.of_promotion(promotion_id) is not None
        await self.admission.ensure(await self.ledger.promotions.get(promotion_id), hotfix=hotfix)

    def rollout_request(self, promotion: Promotion) -> RolloutRequest:
        """What the controller is asked for on behalf of a promotion."""
        return rollout_request(self.catalog, promotion, self.images, self.manifests)

    async def aclose(self) -> None:
        if "cluster_view" in self.__dict__:
            await self.cluster_view.aclose()
        if "kube" in self.__dict__:
            await self.kube.aclose()

    def _image_name(self, image: str) -> ImageName:
        """The catalog's name, or the same last part below PLATFORM_OPS_REGISTRY."""
        if self.settings.registry:
            image = f"{self.settings.registry.rstrip('/')}/{image.rsplit('/', 1)[-1]}"
        host, _, name = image.partition("/")
        return ImageName(host, name)


@asynccontextmanager
async def connect(
    chosen: Settings | None = None,
    *,
    clock: Clock | None = None,
    crash: CrashPoints | None = None,
    for_many: bool = False,
) -> AsyncIterator[Desk]:
    """The desk of this process. Nothing is asked of any system before the first method is."""
    using = chosen or settings()
    ticking = clock or SystemClock()
    async with AsyncExitStack() as stack:
        gather = _GATHER if for_many else 0.0
        connecting = Ledger.connect(using.need("ledger_dsn"), ticking, gather=gather)
        ledger = await stack.enter_async_context(connecting)
        client = httpx.AsyncClient(timeout=_HTTP_TIMEOUT, mounts=_NEVER_BY_PROXY)
        http = await stack.enter_async_context(client)
        desk = Desk(using, ledger, http, ticking, crash or NoCrashPoints(), for_many=for_many)
        stack.push_async_callback(desk.aclose)
        yield desk


class _Shared:
    """The desk of an event loop, and how many use it now."""

    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.users = 0
        self.stack = AsyncExitStack()
        self.desk: Desk | None = None


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


@asynccontextmanager
async def connect_shared() -> AsyncIterator[Desk]:
    """One desk for everybody in this event loop, opened by the first and closed by the last: Airflow's
    triggerer runs hundreds of rollouts in one loop, and each must not have its own connections."""
    shared = _shared.setdefault(asyncio.get_running_loop(), _Shared())
    async with shared.opening:
        if shared.desk is None:
            shared.desk = await shared.stack.enter_async_context(connect(for_many=True))
        shared.users += 1
    try:
        yield shared.desk
    finally:
        shared.users -= 1
        # Closing waits for connections: somebody who comes meanwhile opens a new one afterwards.
        async with shared.opening:
            if shared.users == 0 and shared.desk is not None:
                shared.desk = None
                await shared.stack.aclose()


def _loaded(chosen: Settings) -> Loaded[Catalog]:
    path = Path(chosen.catalog)
    return _load_once(path, chosen.state_folder, chosen.profile, _stamp(path))


def _loaded_policy(chosen: Settings) -> Loaded[GatePolicy]:
    path = Path(chosen.gate_policy)
    return _load_policy_once(path, chosen.state_folder, _stamp(path))


def _stamp(path: Path) -> tuple[int, int]:
    """Another one when the file was written."""
    try:
        return (found := path.stat()).st_mtime_ns, found.st_size
    except OSError:
        return 0, 0


@lru_cache(maxsize=8)
def _load_once(path: Path, state: Path | None, profile: str, stamp: tuple[int, int]) -> Loaded[Catalog]:
    """One reading of a file as it is now; `stamp` changes with the file."""
    found = load_last_valid(path, state)
    return Loaded(with_profile(found.value, profile), found.problems)


@lru_cache(maxsize=8)
def _load_policy_once(path: Path, state: Path | None, stamp: tuple[int, int]) -> Loaded[GatePolicy]:
    return load_last_valid_policy(path, state)
