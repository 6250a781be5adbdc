"""What is promoted and where: releases, colours, targets, weights."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Colour(StrEnum):
    """One of the two full deployments of a service in an environment."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> Colour:
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


class Router(StrEnum):
    """What moves the traffic of a service in an environment."""

    HTTP_ROUTE = "http_route"
    """Weights of an HTTPRoute: any share."""
    SERVICE = "service"
    """The selector of a Service: all at once."""


@dataclass(frozen=True)
class Release:
    """One built artefact. `digest` is what is deployed; the rest says where it comes from."""

    service: str
    version: str
    commit: str
    """Full 40-digit commit id."""
    digest: str
    """`sha256:` and 64 hex digits: the image manifest's digest."""

    @property
    def name(self) -> str:
        """What people type and read, and the registry's tag: version and the commit's first 8 digits."""
        return release_name(self.version, self.commit)


def release_name(version: str, commit: str) -> str:
    return f"{version}-{commit[:8]}"


@dataclass(frozen=True)
class Target:
    """One service in one environment: where its objects are and how it is reached."""

    service: str
    environment: str
    context: str
    """Kubeconfig context."""
    namespace: str
    url: str
    """Public URL; its host is the route's hostname."""
    router: Router = Router.HTTP_ROUTE

    def deployment(self, colour: Colour) -> str:
        return f"{self.service}-{colour}"

    @property
    def key(self) -> str:
        """`service/environment`, the unit of which one promotion at a time runs."""
        return f"{self.service}/{self.environment}"


@dataclass(frozen=True)
class Weights:
    """Share of production traffic per colour, in percent. They sum to 100, or are both 0: no route yet."""

    blue: int = 0
    green: int = 0

    def __post_init__(self) -> None:
        if min(self.blue, self.green) < 0 or self.blue + self.green not in (0, 100):
            raise ValueError(f"weights {self.blue}/{self.green} do not sum to 100")

    @classmethod
    def towards(cls, colour: Colour, percent: int) -> Weights:
        """`percent` on `colour`, the rest on the other."""
        return cls(percent, 100 - percent) if colour is Colour.BLUE else cls(100 - percent, percent)

    def of(self, colour: Colour) -> int:
        return self.blue if colour is Colour.BLUE else self.green

    @property
    def routed(self) -> bool:
        return self.blue + self.green == 100

    @property
    def majority(self) -> Colour | None:
        """The colour with most traffic; None without a route."""
        if not self.routed:
            return None
        return Colour.BLUE if self.blue >= self.green else Colour.GREEN
