"""The catalog's models. Defaults are the numbers of the team's pipeline guide."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from platform_ops.core.approvals import ApprovalRule
from platform_ops.core.errors import GateClosed, NotFound
from platform_ops.core.release import Router, Target
from platform_ops.core.signatures import Signer, key_of

from .fields import BaseUrl, DnsLabel, Duration, ImageName, Model, Quantity, SignedCommits, SigningKey
from .gating import FreezeWindow, SourceGates
from .identity import ServiceIdentity
from .names import unknown
from .rollback import RollbackTriggers
from .strategy import BlueGreenSwitch, Direct, Gradual, InsufficientSamples, Strategy

ENVIRONMENTS = ("development", "staging", "production")
_NAMESPACE_SUFFIX = {"development": "dev", "staging": "staging", "production": "prod"}


class Person(Model):
    """A user of Airflow, and who that is in git."""

    roles: tuple[str, ...] = Field(min_length=1)
    """Roles the person votes for; each is a key of `roles`."""
    emails: tuple[str, ...] = ()
    """Addresses the person commits with. Nobody approves what they wrote; a commit by an address that is
    listed nowhere fails that rule. Without an address a person is never an author."""
    signing_keys: tuple[SigningKey, ...] = ()
    """Public ssh keys that sign the person's commits, each as in a `.pub` file; `valid-before="20270101Z"`
    may stand before it."""

    @field_validator("emails")
    @classmethod
    def _addresses(cls, emails: tuple[str, ...]) -> tuple[str, ...]:
        for email in emails:
            if "@" not in email.strip("@"):
                raise ValueError(f"{email!r} is no e-mail address")
        return tuple(email.lower() for email in emails)


class Amount(Model):
    """Processor and memory of one pod."""

    cpu: Quantity
    """Cores, such as 250m or 2."""
    memory: Quantity
    """Bytes, such as 512Mi or 4Gi."""


class Resources(Model):
    """What one pod asks for and may use at most."""

    requests: Amount = Amount(cpu="250m", memory="512Mi")
    """Reserved for the pod."""
    limits: Amount = Amount(cpu="500m", memory="1Gi")
    """The pod is throttled (processor) or ended (memory) above it."""


class Check(Model):
    """One request that a verified colour answers as stated."""

    path: str = Field(pattern=r"^/")
    """Path and query below the environment's URL."""
    method: Literal["GET", "POST"] = "GET"
    """HTTP method."""
    body: dict[str, Any] | None = None
    """JSON body of a POST."""
    secret_headers: dict[str, str] = Field(default_factory=dict)
    """Header name to the *environment variable* that holds its value; the value never stands here."""
    status: int = Field(default=200, ge=100, le=599)
    """The status that passes."""
    contains: str = ""
    """Text that the answer must hold; empty: any body passes."""
    timeout: Duration = timedelta(seconds=5)
    """An answer later than this fails the check."""


class Quorum(Model):
    """How many people of which roles."""

    quorum: dict[str, int] = Field(default_factory=dict)
    """Role to number of distinct people; empty means that nobody needs to agree."""

    @field_validator("quorum")
    @classmethod
    def _at_least_one(cls, quorum: dict[str, int]) -> dict[str, int]:
        for role, count in quorum.items():
            if count < 1:
                raise ValueError(f"{role} needs at least 1 person; leave the role out if it has no vote")
        return quorum


class Approvals(Quorum):
    """Who must agree before a release goes on."""

    requesters: tuple[str, ...] = ()
    """Roles that may ask for a promotion by hand; empty: every role."""
    self_review: bool = False
    """Whether the requester and the authors may vote."""
    wait_timer: Duration = timedelta(0)
    """At least this long from the start of the run to the first change, beside the votes."""
    response_timeout: Duration = timedelta(days=1)
    """A vote that takes longer fails the run."""
    expires: Duration = timedelta(days=1)
    """A vote that is older does not let the release start. A release that has traffic goes on under it."""


class HotfixApprovals(Quorum):
    """Who must agree before a hotfix goes on. Requesters and self-review are those of a promotion."""

    quorum: dict[str, int] = Field(default_factory=lambda: {"senior_developer": 1, "devops": 1})
    """Role to number of distinct people."""
    wait_timer: Duration = timedelta(0)
    """At least this long from the start of the run to the first change, beside the votes."""
    response_timeout: Duration = timedelta(minutes=30)
    """A vote that takes longer fails the run."""
    expires: Duration = timedelta(hours=2)
    """A vote that is older does not let the hotfix start."""


class ProductionApprovals(Approvals):
    """Who must agree before a release, or a hotfix, goes live."""

    hotfix: HotfixApprovals = HotfixApprovals()
    """Who must agree before a hotfix goes on."""

    def of_hotfix(self) -> Approvals:
        """The hotfix's own rule, in the terms of every other one."""
        return Approvals(requesters=self.requesters, self_review=self.self_review, **self.hotfix.model_dump())


class Environment(Model):
    """One service in one environment."""

    url: BaseUrl
    """Public URL; its host is the route's host name."""
    context: str
    """Kubeconfig context of the cluster."""
    namespace: DnsLabel | None = None
    """Namespace; by default the service's name with -dev, -staging or -prod."""
    branch: str
    """Branch of the service's repository that this environment follows."""
    signed_commits: SignedCommits = "off"
    """Whether every commit must be signed by its committer's key: required or off. What is required here is
    verified before the build already."""
    replicas: int = Field(ge=1, le=100)
    """Pods of each colour."""
    resources: Resources = Resources()
    """Per pod."""
    checks: tuple[Check, ...] = (Check(path="/health"),)
    """Requests that verify a colour before it gets traffic, and the old one after going back."""
    approvals: Approvals = Approvals()
    """Who must agree."""
    strategy: Strategy
    """How traffic moves to the new colour."""
    rollback: RollbackTriggers = RollbackTriggers()
    """What takes the traffic back."""
    on_insufficient_samples: InsufficientSamples = InsufficientSamples()
    """What happens without enough traffic."""
    freeze: tuple[FreezeWindow, ...] = ()
    """When nothing is promoted here."""

    @property
    def host(self) -> str:
        """Host name (and port, if the URL has one) that requests of this environment carry."""
        return urlsplit(self.url).netloc


class Development(Environment):
    """Every commit goes here by itself."""

    context: str = "development"
    """Kubeconfig context of the cluster."""
    branch: str = "development"
    """Branch whose moves start a promotion."""
    replicas: int = Field(default=1, ge=1, le=100)
    """Pods of each colour."""
    strategy: Strategy = Direct()
    """How traffic moves to the new colour."""


class Staging(Environment):
    """Verified like production, before production."""

    context: str = "staging"
    """Kubeconfig context of the cluster."""
    branch: str = "staging"
    """Branch that this environment follows."""
    replicas: int = Field(default=2, ge=1, le=100)
    """Pods of each colour."""
    approvals: Approvals = Approvals(quorum={"qa": 1}, wait_timer=timedelta(minutes=5))
    """Who must agree: one member of QA, then 5 minutes."""
    strategy: Strategy = BlueGreenSwitch()
    """How traffic moves to the new colour."""


class Production(Environment):
    """Live traffic."""

    context: str = "production"
    """Kubeconfig context of the cluster."""
    branch: str = "main"
    """Branch that this environment follows."""
    signed_commits: SignedCommits = "required"
    """Whether every commit must be signed by its committer's key: required or off. What is required here is
    verified before the build already."""
    replicas: int = Field(default=3, ge=1, le=100)
    """Pods of each colour."""
    approvals: ProductionApprovals = ProductionApprovals(
        quorum={"senior_developer": 2, "devops": 1}, wait_timer=timedelta(minutes=10)
    )
    """Who must agree: two senior developers and one of DevOps, then 10 minutes."""
    strategy: Strategy = Gradual()
    """How traffic moves to the new colour."""
    on_insufficient_samples: InsufficientSamples = InsufficientSamples(policy="extend")
    """What happens without enough traffic."""


class Environments(Model):
    """The way of a release."""

    development: Development
    """First."""
    staging: Staging
    """Second."""
    production: Production
    """Last."""


class Pages(Model):
    """Who hears of a failed run."""

    slack: str = Field(pattern=r"^#[a-z0-9_-]{1,80}$")
    """Slack channel, such as #llm-service-alerts."""
    escalation: tuple[str, ...] = ()
    """Who is asked next, level by level; every page names them."""


class Gateway(Model):
    """The Gateway that the services' routes attach to."""

    name: DnsLabel = "gateway"
    """Name of the Gateway object."""
    namespace: DnsLabel = "platform-ops"
    """Its namespace."""


class SchemaMigration(Model):
    """What brings the service's database to the version of a release, before its preview comes up.

    It may only expand: the version before goes on with the new schema. A rollback migrates nothing down.
    """

    command: tuple[str, ...] = Field(min_length=1)
    """Program and arguments in the release's own image. It may be run again, and then finds nothing to do."""
    deadline: Duration = timedelta(minutes=5)
    """The Job is ended and has failed after so long."""


class Service(Model):
    """One service: where it comes from, where it goes, who is paged."""

    repository: str = Field(min_length=1)
    """Git URL."""
    image: ImageName
    """Image name without tag: `registry/name`."""
    manifests: str = ""
    """Folder of the service's own manifest templates, relative to the common ones; empty: the common ones."""
    schema_migration: SchemaMigration | None = None
    """A Job before each preview; left out: a release changes no schema."""
    gates: SourceGates = SourceGates()
    """How the gates look at its source."""
    pages: Pages
    """Who is paged."""
    signed_after: str = Field(default="", pattern=r"^([0-9a-f]{40})?$")
    """Commit up to which the history may be unsigned; empty: where that is required, all is signed."""
    environments: Environments
    """The three environments."""

    def environment(self, name: str) -> Environment:
        """The environment called `name`. NotFound lists the ones there are."""
        if name not in ENVIRONMENTS:
            raise NotFound(unknown("environment", name, ENVIRONMENTS))
        found: Environment = getattr(self.environments, name)
        return found


class Profile(Model):
    """Factors and caps for a place that is not the real one. Trigger windows and leases are never scaled."""

    wait_timer: float = Field(default=1.0, ge=0)
    """Factor on wait timers."""
    bake: float = Field(default=1.0, gt=0)
    """Factor on bakes."""
    warm: float = Field(default=1.0, gt=0)
    """Factor on warm windows."""
    max_replicas: int = Field(default=100, ge=1)
    """Most pods of a colour."""
    max_cpu: Quantity = "1000"
    """Most cores that one pod asks for or may use."""
    max_memory: Quantity = "100Ti"
    """Most memory that one pod asks for or may use."""


class Catalog(Model):
    """Everything that platform-ops promotes."""

    roles: dict[str, str]
    """Role to a sentence that says who has it."""
    people: dict[str, Person]
    """Airflow user to the person's roles and e-mail addresses."""
    service_identity: ServiceIdentity = ServiceIdentity()
    """Who moves branches and tags versions."""
    gateway: Gateway = Gateway()
    """The Gateway that all routes attach to."""
    profiles: dict[str, Profile] = Field(default_factory=dict)
    """Named scalings; PLATFORM_OPS_PROFILE picks one."""
    services: dict[str, Service] = Field(min_length=1)
    """Service name to its entry."""

    def service(self, name: str) -> Service:
        """The service called `name`. NotFound lists the ones there are."""
        if name not in self.services:
            raise NotFound(unknown("service", name, tuple(self.services)))
        return self.services[name]

    def environment(self, service: str, environment: str) -> Environment:
        """The entry of a service's environment. NotFound names what does not exist."""
        return self.service(service).environment(environment)

    def signatures_required(self, service: str, environment: str) -> bool:
        """Whether this environment or a later one wants signed commits: one artefact goes through all."""
        later = ENVIRONMENTS[ENVIRONMENTS.index(environment) :]
        return any(self.environment(service, name).signed_commits == "required" for name in later)

    def signers(self) -> tuple[Signer, ...]:
        """Every key that is listed here, with the addresses it may sign for."""
        identity = self.service_identity
        listed = [(person.emails, person.signing_keys) for person in self.people.values()]
        listed.append(((identity.email,), identity.signing_keys))
        return tuple(key_of(emails, key) for emails, keys in listed for key in keys if emails)

    def target(self, service: str, environment: str) -> Target:
        """Where a service's objects are in an environment."""
        entry = self.environment(service, environment)
        namespace = entry.namespace or f"{service}-{_NAMESPACE_SUFFIX[environment]}"
        router = Router(entry.strategy.router)
        return Target(service, environment, entry.context, namespace, entry.url, router)

    def people_with(self, role: str) -> tuple[str, ...]:
        """Users that have the role, in the catalog's order."""
        return tuple(user for user, person in self.people.items() if role in person.roles)

    def approvals(self, service: str, environment: str, *, hotfix: bool = False) -> Approvals:
        """Who must agree there before a release, or a hotfix, goes on."""
        if hotfix:
            return self.service(service).environments.production.approvals.of_hotfix()
        return self.environment(service, environment).approvals

    def approval_rule(self, service: str, environment: str, *, hotfix: bool = False) -> ApprovalRule:
        """The same in the core's terms."""
        approvals = self.approvals(service, environment, hotfix=hotfix)
        return ApprovalRule(
            required=dict(approvals.quorum),
            entitled={role: frozenset(self.people_with(role)) for role in approvals.quorum},
            self_review=approvals.self_review,
            expires=approvals.expires,
        )

    def users_of(self, emails: Iterable[str]) -> frozenset[str]:
        """The people behind the addresses of commits. GateClosed names every address that nobody owns."""
        owner = {email: user for user, person in self.people.items() for email in person.emails}
        addresses = {email.lower() for email in emails}
        if strangers := sorted(addresses - owner.keys()):
            raise GateClosed(
                f"No approver may be an author, and nobody in the catalog owns {', '.join(strangers)}: "
                "add the address to its person under people, or let somebody who is listed commit it"
            )
        return frozenset(owner[email] for email in addresses)

    def require_requester(self, service: str, environment: str, user: str) -> None:
        """GateClosed unless the user may ask for a promotion there by hand."""
        roles = self.environment(service, environment).approvals.requesters
        if roles and not set(roles) & set(self.people[user].roles if user in self.people else ()):
            who = user if user in self.people else f"{user} (nobody of the catalog's people)"
            raise GateClosed(
                f"{who} may not ask for a promotion of {service} to {environment}; "
                f"that is for {', '.join(roles)}: sign in as one of them"
            )
