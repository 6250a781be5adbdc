"""What goes live with a promotion: noted when it is resolved, shown to the voters, kept in the ledger."""

from __future__ import annotations

from platform_ops import wiring
from platform_ops.core.changelog import Changelog, changelog, short_markdown
from platform_ops.core.errors import NotFound
from platform_ops.core.records import Promotion


async def note_changes(desk: wiring.Desk, promotion: Promotion) -> None:
    """Write the changelog of a promotion into the ledger, once."""
    if await desk.ledger.source.changelog(promotion.id) is None:
        await desk.ledger.source.write_changelog(promotion.id, await _changes(desk, promotion))


async def changes_in_short(desk: wiring.Desk, promotion: Promotion) -> str:
    """Markdown for the voters; nothing for a promotion of before there were changelogs."""
    log = await desk.ledger.source.changelog(promotion.id)
    return short_markdown(log) if log else ""


async def _changes(desk: wiring.Desk, promotion: Promotion) -> Changelog:
    service, commit = promotion.service, promotion.commit
    served = await _served(desk, promotion)
    commits = await desk.source.history(service, commit, served)
    taken_out = await desk.source.history(service, served, commit) if served else ()
    return changelog(commits, served, commit, len(taken_out))


async def _served(desk: wiring.Desk, promotion: Promotion) -> str | None:
    """The commit of the newest release verified there that the repository still has."""
    for release in await desk.ledger.promotions.verified(promotion.service, promotion.environment):
        try:
            if await desk.source.is_ancestor(promotion.service, release.commit, release.commit):
                return release.commit
        except NotFound:
            continue  # rewritten away
    return None
