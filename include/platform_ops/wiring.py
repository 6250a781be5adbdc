"""The only place that picks adapters: settings and catalog in, a desk with everything on it out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property, lru_cache
from pathlib import Path

import httpx

from platform_ops.adapters.airflow_api import AirflowApi
from platform_ops.adapters.clock import SystemClock
from platform_ops.adapters.git import GitRepositories
from platform_ops.adapters.images import DEFAULT_BUILD_COMMAND, ImageName, RegistryImages
from platform_ops.adapters.kube_api import KubeApi
from platform_ops.adapters.kubernetes import KubernetesWorkloads
from platform_ops.adapters.ledger import Ledger
from platform_ops.adapters.ledger.guard import LedgerApprovals
from platform_ops.adapters.manifests import Manifests
from platform_ops.adapters.object_store import S3ObjectStore
from platform_ops.adapters.outbox import Pager
from platform_ops.adapters.probe import HttpProbe
from platform_ops.adapters.prometheus import PrometheusMetrics
from platform_ops.adapters.registry import Credentials, Registry
from platform_ops.adapters.reporter import Reporter
from platform_ops.adapters.slack import SlackChat
from platform_ops.adapters.traffic import HTTPRouteRouter
from platform_ops.catalog.load import Loaded, load_last_valid
from platform_ops.catalog.models import Catalog
from platform_ops.catalog.profiles import with_profile
from platform_ops.controller.planning import rollout_request
from platform_ops.controller.rollouts import NoCrashPoints, Ports, RolloutController, RolloutRequest
from platform_ops.core.errors import CatalogError
from platform_ops.core.ports import Clock, CrashPoints
from platform_ops.core.records import Promotion
from platform_ops.settings import Settings, settings

__all__ = ["Desk", "Settings", "catalog", "connect", "require_valid_catalog", "settings"]

_HTTP_TIMEOUT = httpx.Timeout(10.0)
_NEVER_BY_PROXY = {"all://127.0.0.1": None, "all://localhost": None}
"""A proxy of the environment is for Slack and registries outside, whatever NO_PROXY says."""


def catalog() -> Catalog:
    """The last valid catalog with this process's profile applied. Reads files only."""
    return _loaded(settings()).catalog


def require_valid_catalog() -> None:
    """Raises CatalogError with every problem when the file itself is broken, whatever the copy says."""
    if problems := _loaded(settings()).problems:
        raise CatalogError(problems)


class Desk:
    """Every port, made at first use: a process needs only the settings of what it asks for."""

    def __init__(
        self, chosen: Settings, ledger: Ledger, http: httpx.AsyncClient, clock: Clock, crash: CrashPoints
    ) -> None:
        self.settings = chosen
        self.ledger = ledger
        self.clock = clock
        self._http = http
        self._crash = crash

    @cached_property
    def catalog(self) -> Catalog:
        return _loaded(self.settings).catalog

    @cached_property
    def kube(self) -> KubeApi:
        return KubeApi(Path(self.settings.need("kubeconfig")))

    @cached_property
    def manifests(self) -> Manifests:
        return Manifests(Path(self.settings.need("manifests")), self.catalog)

    @cached_property
    def workloads(self) -> KubernetesWorkloads:
        return KubernetesWorkloads(self.kube, self.manifests.service)

    @cached_property
    def router(self) -> HTTPRouteRouter:
        return HTTPRouteRouter(self.kube, self.workloads, LedgerApprovals(self.ledger), self.manifests.route)

    @cached_property
    def metrics(self) -> PrometheusMetrics:
        return PrometheusMetrics(self._http, self.settings.need("prometheus_url"))

    @cached_property
    def probe(self) -> HttpProbe:
        return HttpProbe(self._http, self.settings.gateway_url)

    @cached_property
    def source(self) -> GitRepositories:
        urls = {name: service.repository for name, service in self.catalog.services.items()}
        return GitRepositories(urls, Path(self.settings.need("state")))

    @cached_property
    def images(self) -> RegistryImages:
        names = {name: self._image_name(service.image) for name, service in self.catalog.services.items()}
        credentials = Credentials(self.settings.registry_user, self.settings.registry_password)
        registries = {
            name.host: Registry(self._http, name.host, credentials, plain_http=self.settings.plain_http)
            for name in names.values()
        }
        return RegistryImages(registries, names, self.settings.build_words or DEFAULT_BUILD_COMMAND)

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
    def controller(self) -> RolloutController:
        return RolloutController(
            Ports(self.workloads, self.router, self.metrics, self.probe, self.ledger, self.clock, self._crash)
        )

    def rollout_request(self, promotion: Promotion) -> RolloutRequest:
        """What the controller is asked for on behalf of a promotion."""
        return rollout_request(self.catalog, promotion, self.images, self.manifests)

    async def aclose(self) -> None:
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
    chosen: Settings | None = None, *, clock: Clock | None = None, crash: CrashPoints | None = None
) -> AsyncIterator[Desk]:
    """The desk of this process. Nothing is asked of any system before the first method is."""
    using = chosen or settings()
    ticking = clock or SystemClock()
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(Ledger.connect(using.need("ledger_dsn"), ticking))
        client = httpx.AsyncClient(timeout=_HTTP_TIMEOUT, mounts=_NEVER_BY_PROXY)
        http = await stack.enter_async_context(client)
        desk = Desk(using, ledger, http, ticking, crash or NoCrashPoints())
        stack.push_async_callback(desk.aclose)
        yield desk


def _loaded(chosen: Settings) -> Loaded:
    path = Path(chosen.catalog)
    try:
        stamp = (found := path.stat()).st_mtime_ns, found.st_size
    except OSError:
        stamp = (0, 0)
    return _load_once(path, chosen.state_folder, chosen.profile, stamp)


@lru_cache(maxsize=8)
def _load_once(path: Path, state: Path | None, profile: str, stamp: tuple[int, int]) -> Loaded:
    """One reading of a file as it is now; `stamp` changes with the file."""
    found = load_last_valid(path, state)
    return Loaded(with_profile(found.catalog, profile), found.problems)
