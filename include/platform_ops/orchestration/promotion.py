"""The steps of a promotion. Each one: look, decide, act. Their order stands in `dags/promotion.py`."""

from __future__ import annotations

import logging

from platform_ops import wiring
from platform_ops.catalog import way
from platform_ops.core.digest_holds import require_free
from platform_ops.core.errors import GateClosed
from platform_ops.core.gates import shown
from platform_ops.core.release import Release

from . import artefact
from .changes import note_changes
from .releasing import promoted, require_mergeable
from .rollout import require_live_fixes
from .signatures import require_verified
from .step import AUTOMATIC, Run

log = logging.getLogger(__name__)


async def resolve(desk: wiring.Desk, run: Run) -> None:
    """Decide which release this run is about and write it to the ledger: every later step reads it there."""
    if run.requested_by != AUTOMATIC:
        desk.catalog.require_requester(run.service, run.environment, run.requested_by)
    candidate = await desk.candidates.choose(
        run.service, run.environment, str(run.params.get("release") or "")
    )
    if not way.builds(run.environment):
        await require_live_fixes(desk, run.service, run.environment, candidate.commit)
    if candidate.release is not None:
        await _require_free(desk, run, candidate.release)
    if way.goes_live(run.environment):
        await require_mergeable(desk, run, candidate.commit)
    promotion = await desk.ledger.promotions.open(
        dag_id=run.dag_id,
        run_id=run.run_id,
        service=run.service,
        environment=run.environment,
        commit=candidate.commit,
        version=candidate.version,
        digest=None if way.builds(run.environment) else candidate.digest,
        requested_by=run.requested_by,
        url=run.log_url,
        fixes=_fixes(run.params.get("fixes")),
    )
    await note_changes(desk, promotion)


def _fixes(typed: str | None) -> tuple[str, ...]:
    """Incident ids as the form takes them: `INC-3, INC-7`."""
    return tuple(dict.fromkeys(word for word in (typed or "").replace(",", " ").split()))


async def admit(desk: wiring.Desk, run: Run) -> None:
    """No freeze window, no open incident that the release does not fix, staging verified and healthy. A
    hotfix is let in all the same, and that is written down."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    hotfix = await desk.ledger.hotfixes.of_promotion(promotion.id) is not None
    for verdict in await desk.admission.admit(promotion, hotfix=hotfix):
        log.info("%s: %s", verdict.gate, verdict.reason or verdict.outcome)
    for words in shown(desk.gate_policy.required(run.environment)):
        log.info("%s", words)


async def _require_free(desk: wiring.Desk, run: Run, release: Release) -> None:
    """GateClosed while the release's digest is on hold here or in an environment before."""
    held = await desk.ledger.digest_holds.standing(run.service, run.environment, release.digest)
    require_free(held, f"{run.service}/{run.environment}", release.name)


async def build(desk: wiring.Desk, run: Run) -> None:
    """Build the commit once; the digest goes through all environments, with its bill of materials and the
    statement of where it comes from attached. A build that the ledger knows is taken as it is."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    await require_verified(desk, promotion)
    made = await artefact.built(desk, run, promotion)
    release = Release(run.service, promotion.version, promotion.commit, made.digest)
    await artefact.attest(desk, run, release, made)
    await desk.ledger.releases.add(release, built_by_run=run.run_id)
    await desk.ledger.promotions.set_digest(promotion.id, made.digest)


async def check_image(desk: wiring.Desk, run: Run) -> None:
    """The digest is in the registry with all its blobs, is of the commit that was scanned, is not root's, and
    its bill of materials and its statement of provenance say the same."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    await require_verified(desk, promotion)
    problems, detail = await artefact.problems(desk, promotion.release)
    source = await desk.ledger.gates.latest(run.service, promotion.commit, "source")
    if source is None or source.outcome != "passed":
        problems.append("its source has no passed scan in the ledger: run check_source")
    await desk.ledger.gates.record(
        service=run.service,
        subject=promotion.release.digest,
        gate="image",
        outcome="failed" if problems else "passed",
        detail={"problems": problems, **detail},
    )
    if problems:
        raise GateClosed(f"{promotion.release.digest}: " + "; ".join(problems))


async def record(desk: wiring.Desk, run: Run) -> None:
    """Write the outcome: from now on the next environment may take this release."""
    promotion = await promoted(desk, run)
    await desk.ledger.promotions.finish(promotion.id, "promoted")
