"""Hotfixes: built once from `main`, let into production by a rule of their own, merged back afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from .errors import GateClosed
from .paging import Page, page_key
from .records import RUNNING, Promotion
from .release import release_name
from .state import Phase, Rollout

KIND = "hotfix"
"""First word of the DAG's id, as `promote` is that of a promotion."""


def hotfix_dag(service: str) -> str:
    return f"{KIND}_{service}"


def is_hotfix(dag_id: str) -> bool:
    return dag_id.startswith(f"{KIND}_")


@dataclass(frozen=True)
class Hotfix:
    """One hotfix, and its follow-up: open until every branch holds the commit."""

    promotion_id: str
    service: str
    commit: str
    version: str
    why: str
    incident: str
    """What it repairs, as people name it; empty: no incident was opened."""
    missing: tuple[str, ...]
    """Branches that did not hold the commit when somebody last looked."""
    opened_at: datetime
    closed_at: datetime | None = None
    closed_because: str = ""

    @property
    def name(self) -> str:
        return release_name(self.version, self.commit)


def close_because(promotion: Promotion, rollout: Rollout | None, missing: Collection[str]) -> str:
    """Why nothing is left to follow up; empty: the follow-up stays open.

    `promotion` and `rollout` are the hotfix's own, `missing` the branches that do not hold its commit.
    """
    if rollout is None:
        return "" if promotion.outcome == RUNNING else "it never got to a rollout"
    if rollout.phase is Phase.ROLLED_BACK:
        return f"it went back: {rollout.reason}"
    if not rollout.phase.reached(Phase.PROMOTED) or missing:
        return ""
    return "every branch holds it"


def require_fixes(release: str, lacking: Iterable[Hotfix]) -> None:
    """GateClosed for a release that would take a live hotfix away again: `lacking` are those that are not in
    its history."""
    named = ", ".join(f"{one.name} ({one.why})" for one in lacking)
    if named:
        raise GateClosed(
            f"{release} does not hold the hotfix {named} that is live: merge it back into development and "
            "staging (ops audit names the branches), and promote what comes of that"
        )


def merge_back_page(hotfix: Hotfix, run_id: str, channel: str, log_url: str) -> Page:
    """The one page that asks to merge a live hotfix back."""
    branches = " and ".join(hotfix.missing)
    return Page(
        key=page_key(hotfix.service, "production", run_id, "merge-back"),
        service=hotfix.service,
        environment="production",
        title=f"Hotfix {hotfix.name} of {hotfix.service} is live and not yet in {branches}",
        happened=f"It was released because: {hotfix.why}"
        + (f" ({hotfix.incident})" if hotfix.incident else ""),
        done="The hotfix serves production, verified. Production takes no release without it.",
        todo=f"Merge {hotfix.commit[:8]} into {branches}; the follow-up then closes by itself.",
        log_url=log_url,
        channel=channel,
    )
