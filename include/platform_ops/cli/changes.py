"""`ops changelog`: what a release brought, or will bring, to an environment. Read from the ledger alone."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_ops.catalog.names import unknown
from platform_ops.core.changelog import text_lines
from platform_ops.core.errors import NotFound
from platform_ops.core.records import Promotion
from platform_ops.wiring import Desk

from .asking import AsJson, Environment, Service, at_desk
from .output import clock_time, out, print_json

_LOOKED_AT = 500
"""Promotions among which a release is looked for."""


def changelog(
    service: Service,
    environment: Environment,
    release: Annotated[str | None, typer.Option(help="Name or digest; by default the newest one.")] = None,
    as_json: AsJson = False,
) -> None:
    """The commits that a release brought to an environment, as its voters saw them."""

    async def act(desk: Desk) -> None:
        desk.catalog.environment(service, environment)
        promotion = await _promotion(desk, service, environment, release)
        log = await desk.ledger.source.changelog(promotion.id)
        if log is None:
            raise NotFound(f"the ledger holds no changelog of {promotion.name} in {environment}")
        moves = await desk.ledger.source.moves(promotion.id)
        if as_json:
            print_json({"release": promotion.name, "promotion": promotion, "changelog": log, "git": moves})
            return
        version = next((f", {move.tag}" for move in moves if move.tag), "")
        since = f"since {log.since[:8]}" if log.since else "the first release"
        head = f"{promotion.name} in {environment}{version}: {promotion.outcome}, {since}"
        lines = [head, f"asked for {clock_time(promotion.started_at)} by {promotion.requested_by}", ""]
        out.print("\n".join([*lines, *text_lines(log)]), markup=False)

    at_desk(act)


async def _promotion(desk: Desk, service: str, environment: str, release: str | None) -> Promotion:
    promotions = await desk.ledger.promotions.of(service, environment, _LOOKED_AT)
    if not promotions:
        raise NotFound(f"the ledger holds no promotion of {service} in {environment}")
    if release is None:
        return promotions[0]
    named = [one for one in promotions if release in (one.name, one.digest)]
    if named:
        # One that was tried again later brought nothing: what went live is what is asked for.
        return next((one for one in named if one.outcome == "promoted"), named[0])
    raise NotFound(unknown("release", str(release), list(dict.fromkeys(one.name for one in promotions[:10]))))
