"""`verify_signatures`: every commit since the last release is signed by a listed key of its committer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from platform_ops import wiring
from platform_ops.core.errors import GateClosed
from platform_ops.core.gates import SIGNATURES
from platform_ops.core.records import Promotion

from .step import Run

GATE = SIGNATURES
SHOWN = 5


async def verify_signatures(desk: wiring.Desk, run: Run) -> None:
    """Where the catalog requires it, here or in a later environment, each commit that is new since the last
    release verified here must be signed by a listed key of its committer. The keys are those listed now: one
    that was taken out meanwhile stops the release."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    if not desk.catalog.signatures_required(run.service, run.environment):
        await _record(desk, promotion, "not_run", {"why": "the catalog says signed_commits: off"})
        return
    since = await released_before(desk, promotion, GATE) or await _signed_after(desk, promotion)
    count, found = await desk.signatures.problems(run.service, promotion.commit, since, desk.clock.now())
    detail = {"since": since, "commits": count, "problems": found[:100]}
    await _record(desk, promotion, "failed" if found else "passed", detail)
    if found:
        raise GateClosed(refusal(found))


async def require_verified(desk: wiring.Desk, promotion: Promotion) -> None:
    """The guard at what uses a commit's code: a task that was marked as successful verified nothing."""
    if not desk.catalog.signatures_required(promotion.service, promotion.environment):
        return
    gate = await desk.ledger.gates.latest(promotion.service, promotion.commit, GATE)
    if gate is None or gate.outcome != "passed":
        raise GateClosed(f"The signatures of {promotion.commit[:8]} are not verified: run verify_signatures.")


async def released_before(
    desk: wiring.Desk,
    promotion: Promotion,
    gate: str,
    counts: Callable[[Mapping[str, Any]], bool] = lambda detail: True,
) -> str | None:
    """The newest release verified in the promotion's environment that leads to its commit and passed `gate`;
    `counts` looks at the gate's detail."""
    for release in await desk.ledger.promotions.verified(promotion.service, promotion.environment):
        result = await desk.ledger.gates.latest(promotion.service, release.commit, gate)
        if result is None or result.outcome != "passed" or not counts(result.detail):
            continue
        if await desk.source.is_ancestor(promotion.service, release.commit, promotion.commit):
            return release.commit
    return None


def refusal(found: tuple[str, ...]) -> str:
    """Why unsigned work does not pass, a line a commit, and what to do."""
    more = [f"… and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n".join(
        [
            f"{len(found)} commit(s) do not count as signed:",
            *(f"{line}." for line in found[:SHOWN]),
            *more,
            "Sign them with the key that is listed for their committer and push again: "
            "docs/how-to/sign-commits.md says how.",
        ]
    )


async def _signed_after(desk: wiring.Desk, promotion: Promotion) -> str | None:
    """Where signing began in this repository, if that leads to the commit."""
    start = desk.catalog.service(promotion.service).signed_after
    if start and await desk.source.is_ancestor(promotion.service, start, promotion.commit):
        return start
    return None


async def _record(desk: wiring.Desk, promotion: Promotion, outcome: str, detail: Mapping[str, Any]) -> None:
    await desk.ledger.gates.record(
        service=promotion.service, subject=promotion.commit, gate=GATE, outcome=outcome, detail=detail
    )
