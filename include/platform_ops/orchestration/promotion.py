"""The steps of a promotion. Each one: look, decide, act. Their order stands in `dags/promotion.py`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from platform_ops import wiring
from platform_ops.core.digest_holds import require_free
from platform_ops.core.errors import GateClosed, NotFound
from platform_ops.core.release import Release, release_name
from platform_ops.core.rollout import Phase

from . import way
from .step import AUTOMATIC, Run


async def resolve(desk: wiring.Desk, run: Run) -> None:
    """Decide which release this run is about and write it to the ledger: every later step reads it there."""
    if run.requested_by != AUTOMATIC:
        desk.catalog.require_requester(run.service, run.environment, run.requested_by)
    if way.builds(run.environment):
        commit = await _commit_to_build(desk, run)
        version = await desk.source.version_at(run.service, commit)
        digest = None
        built = await desk.ledger.releases.find(run.service, release_name(version, commit))
        if built is not None:
            await _require_free(desk, run, built)
    else:
        release = await _release_to_take(desk, run)
        await _require_free(desk, run, release)
        commit, version, digest = release.commit, release.version, release.digest
    await desk.ledger.promotions.open(
        dag_id=run.dag_id,
        run_id=run.run_id,
        service=run.service,
        environment=run.environment,
        commit=commit,
        version=version,
        digest=digest,
        requested_by=run.requested_by,
        url=run.log_url,
    )


async def _require_free(desk: wiring.Desk, run: Run, release: Release) -> None:
    """GateClosed while the release's digest is on hold here or in an environment before."""
    held = await desk.ledger.digest_holds.standing(run.service, run.environment, release.digest)
    require_free(held, f"{run.service}/{run.environment}", release.name)


async def _commit_to_build(desk: wiring.Desk, run: Run) -> str:
    typed = run.params.get("release")
    if not typed:
        branch = desk.catalog.environment(run.service, run.environment).branch
        return await desk.source.head(run.service, branch)
    release = await desk.ledger.releases.find(run.service, typed)
    if release is None:
        raise NotFound(
            f"No release {typed!r} of {run.service} was built. Leave the field empty for the branch's head."
        )
    return release.commit


async def _release_to_take(desk: wiring.Desk, run: Run) -> Release:
    """The typed release, or the newest one that the environment before this one has verified."""
    before = way.environment_before(run.environment)
    verified = await desk.ledger.promotions.verified(run.service, before)
    typed = run.params.get("release")
    for release in verified:
        if not typed or typed in (release.name, release.digest):
            return release
    raise GateClosed(_refusal(typed, run, before, verified))


def _refusal(typed: str | None, run: Run, before: str, verified: Sequence[Release]) -> str:
    if not verified:
        return f"{before} has not verified any release of {run.service} yet: promote one there first."
    names = ", ".join(release.name for release in verified[:10])
    return f"{typed!r} is not verified in {before}. {run.environment} would take: {names}."


async def build(desk: wiring.Desk, run: Run) -> None:
    """Build the commit once; the digest goes through all environments. A tag that exists is taken as it
    is."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    tag = release_name(promotion.version, promotion.commit)
    digest = await desk.images.find(run.service, tag)
    if digest is None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "source")
            await desk.source.checkout(run.service, promotion.commit, source)
            labels = {
                "org.opencontainers.image.revision": promotion.commit,
                "org.opencontainers.image.version": promotion.version,
                "org.opencontainers.image.title": run.service,
            }
            digest = await desk.images.build(run.service, source, tag, labels)
    release = Release(run.service, promotion.version, promotion.commit, digest)
    await desk.ledger.releases.add(release, built_by_run=run.run_id)
    await desk.ledger.promotions.set_digest(promotion.id, digest)


async def check_image(desk: wiring.Desk, run: Run) -> None:
    """The digest is in the registry with all its blobs, is of the commit that was scanned, and is not
    root's."""
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    facts = await desk.images.inspect(run.service, promotion.release.digest)
    problems = []
    revision = facts.labels.get("org.opencontainers.image.revision")
    if revision != promotion.commit:
        problems.append(f"its label says commit {revision}, the release is of {promotion.commit}")
    if facts.user.partition(":")[0] in ("", "0", "root"):
        problems.append("it would run as root: set a numeric USER other than 0")
    source = await desk.ledger.gates.latest(run.service, promotion.commit, "source")
    if source is None or source.outcome != "passed":
        problems.append("its source has no passed scan in the ledger: run check_source")
    await desk.ledger.gates.record(
        service=run.service,
        subject=facts.digest,
        gate="image",
        outcome="failed" if problems else "passed",
        detail={"problems": problems, "size": facts.size},
    )
    if problems:
        raise GateClosed(f"{promotion.release.digest}: " + "; ".join(problems))


async def record(desk: wiring.Desk, run: Run) -> None:
    """Write the outcome: from now on the next environment may take this release.

    The ledger says whether it got here: the tasks before may have been marked as successful by hand.
    """
    promotion = await desk.ledger.promotions.of_run(run.dag_id, run.run_id)
    view = await desk.controller.find_of_run(run.dag_id, run.run_id)
    if view is None or not view.reached(Phase.PROMOTED):
        stands = f"it stands in {view.phase}" if view else "there is none"
        raise GateClosed(f"The rollout of this run did not get to {Phase.PROMOTED}: {stands}.")
    await desk.ledger.promotions.finish(promotion.id, "promoted")
