"""Production traffic: one file a router, and the guard that all of them share."""

from .by_target import RouterOfTarget
from .guard import COLOUR_HEADER, ROLLOUT, TOKEN, Guard
from .http_route import HTTPRouteRouter
from .service import ServiceRouter

__all__ = [
    "COLOUR_HEADER",
    "ROLLOUT",
    "TOKEN",
    "Guard",
    "HTTPRouteRouter",
    "RouterOfTarget",
    "ServiceRouter",
]
