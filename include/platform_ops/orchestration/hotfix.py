"""The steps that only a hotfix has. Their order stands in `dags/hotfix.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from platform_ops import wiring
from platform_ops.controller.views import RolloutView
from platform_ops.core.errors import GateClosed, NotFound
from platform_ops.core.hotfix import merge_back_page
from platform_ops.core.rollout import Phase

from . import releasing
from .changes import note_changes
from .rollout import RolloutOperator, RolloutTrigger, require_approval
from .step import Run, at_desk, run_to_end

_COMMIT = re.compile(r"^[0-9a-f]{40}$")


async def resolve(desk: wiring.Desk, run: Run) -> None:
    """Decide which commit this hotfix is and write it to the ledger. It must come of the head of production's
    branch: what is built here is then the tree that the branch gets."""
    try:
        await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
        return
    except NotFound:
        pass
    desk.catalog.require_requester(run.service, run.environment, run.requested_by)
    why = _typed(run, "why", "the reason: approvers and whoever is pre-empted read it")
    commit = await _commit(desk, run)
    branch = desk.catalog.environment(run.service, run.environment).branch
    head = await desk.source.head(run.service, branch)
    if not await desk.source.is_ancestor(run.service, head, commit):
        raise GateClosed(
            f"{commit[:8]} does not come of {branch}, whose head is {head[:8]}: rebase it on {branch}, push, "
            "and start again."
        )
    if commit == head:
        raise GateClosed(f"{commit[:8]} is the head of {branch} already: there is nothing to fix with it.")
    promotion = await desk.ledger.promotions.open(
        dag_id=run.dag_id,
        run_id=run.run_id,
        service=run.service,
        environment=run.environment,
        commit=commit,
        version=await desk.source.version_at(run.service, commit),
        digest=None,
        requested_by=run.requested_by,
        url=run.log_url,
    )
    await note_changes(desk, promotion)
    await desk.ledger.hotfixes.open(
        promotion,
        why=why,
        incident=str(run.params.get("incident") or ""),
        branches=desk.branch_names(run.service),
    )


async def _commit(desk: wiring.Desk, run: Run) -> str:
    typed = _typed(run, "commit", "the hotfix's branch or full commit id")
    return typed if _COMMIT.match(typed) else await desk.source.head(run.service, typed)


def _typed(run: Run, name: str, what: str) -> str:
    typed = str(run.params.get(name) or "").strip()
    if not typed:
        raise GateClosed(f"The field {name!r} is empty: start again and state {what}.")
    return typed


class PreEmptOperator(RolloutOperator):
    """Ask the promotion that is on its way to go back, wait until it has, and leave the place free.

    It finishes the shift that is under way and begins no other; its run ends red, and its page names this
    one. Nobody is asked before the ledger holds this hotfix as approved.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(until=Phase.ROLLED_BACK, **kwargs)

    def execute(self, context: Mapping[str, Any]) -> None:
        run = Run.of(context, self.service, self.environment)
        in_the_way = run_to_end(at_desk(_pre_empt, run))
        if in_the_way is not None:
            self.log.info("Waiting until it went back: %s", in_the_way)
            trigger = PreEmptTrigger(rollout_id=in_the_way.rollout_id, until=Phase.ROLLED_BACK.value)
            self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        """The event only wakes us: the ledger says who stands there now."""
        run = Run.of(context, self.service, self.environment)
        in_the_way = run_to_end(at_desk(_pre_empt, run))
        if in_the_way is not None:
            raise AirflowFailException(f"Still in the way: {in_the_way}. Clear this task to ask again.")


class PreEmptTrigger(RolloutTrigger):
    """Sees to it that another run's rollout goes back."""

    async def on_kill(self) -> None:
        """Whoever marks or clears this task decides about the hotfix, not about the other rollout."""


async def _pre_empt(desk: wiring.Desk, run: Run) -> RolloutView | None:
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    await require_approval(desk, promotion)
    hotfix = await desk.ledger.hotfixes.of_promotion(promotion.id)
    because = f": {hotfix.why}" if hotfix else ""
    return await desk.controller.pre_empt(
        run.service,
        run.environment,
        by=(run.dag_id, run.run_id),
        why=f"hotfix {promotion.name} goes first{because}",
    )


async def merge(desk: wiring.Desk, run: Run) -> None:
    """Merge the commit that serves into production's branch, as every promotion does, and page once where it
    is still missing.

    The follow-up stays open until the other branches hold the commit, too.
    """
    await releasing.merge(desk, run)
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    hotfix = await desk.ledger.hotfixes.of_promotion(promotion.id)
    if hotfix is None:
        raise GateClosed("The ledger holds no hotfix of this run: the task `resolve` comes first.")
    missing = await desk.follow_ups.follow(hotfix)
    if missing:
        channel = desk.catalog.service(run.service).pages.slack
        left = replace(hotfix, missing=missing)
        await desk.ledger.outbox.enqueue(merge_back_page(left, run.run_id, channel, run.log_url))
