"""The artefact: built once, and what is said about it attached to it."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

from platform_ops import wiring
from platform_ops.core import artefact
from platform_ops.core.artefact import ATTESTED, BUILD, PROVENANCE, SBOM, Build
from platform_ops.core.ports import ImageFacts
from platform_ops.core.records import Promotion
from platform_ops.core.release import Release

from .step import Run


async def built(desk: wiring.Desk, run: Run, promotion: Promotion) -> Build:
    """The commit's build: made now, or known to the ledger. A tag alone proves nothing: many may push one."""
    kept = await desk.ledger.gates.latest(run.service, promotion.commit, BUILD)
    released = await desk.ledger.releases.find(run.service, promotion.name)
    if kept is not None:
        known = Build.from_json(kept.detail)
        if released is not None or await desk.images.find(run.service, promotion.name) == known.digest:
            return known
    invocation = f"{run.dag_id}/{run.run_id}"
    if released is not None:
        # From before builds were kept: nobody knows any more when and how.
        source = artefact.materials(
            _repository(desk, run), promotion.commit, {}, await _facts(desk, released), ()
        )
        build = Build(released.digest, invocation, materials=source)
    else:
        build = await _build(desk, run, promotion, invocation)
    await desk.ledger.gates.record(
        service=run.service, subject=promotion.commit, gate=BUILD, outcome="passed", detail=build.to_json()
    )
    return build


async def attest(desk: wiring.Desk, run: Run, release: Release, build: Build) -> None:
    """Attach what is said about the image. An image gets the same documents, however often this runs."""
    repository = _repository(desk, run)
    committed = await desk.source.committed_at(run.service, release.commit)
    bill = await desk.images.bill_of_materials(run.service, release.digest, committed)
    image = desk.images.reference(run.service, release.digest).partition("@")[0]
    told = artefact.statement(release, repository, image, desk.settings.builder_id, build)
    attached = {
        kind: await desk.attestations.attach(run.service, release.digest, kind, content)
        for kind, content in ((SBOM, bill), (PROVENANCE, told))
    }
    await desk.ledger.gates.record(
        service=run.service, subject=release.digest, gate=ATTESTED, outcome="passed", detail=attached
    )


async def problems(desk: wiring.Desk, release: Release) -> tuple[list[str], Mapping[str, object]]:
    """What is wrong with the image and with what is said about it; and what the ledger keeps of the look."""
    facts = await _facts(desk, release)
    kept = await desk.ledger.gates.latest(release.service, release.digest, ATTESTED)
    attached = dict(kept.detail) if kept else {}
    found = await desk.attestations.of(release.service, release.digest)
    wrong = [
        *artefact.image_problems(release, facts),
        *artefact.attestation_problems(release, desk.settings.builder_id, attached, found),
    ]
    return wrong, {"size": facts.size, "attested": attached}


async def _build(desk: wiring.Desk, run: Run, promotion: Promotion, invocation: str) -> Build:
    repository, commit = _repository(desk, run), promotion.commit
    started = desk.clock.now()
    committed = await desk.source.committed_at(run.service, commit)
    labels = artefact.labels_of(run.service, promotion.version, commit, committed, repository)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        await desk.source.checkout(run.service, commit, source)
        digest = await desk.images.build(run.service, source, promotion.name, labels)
        command = desk.images.build_command
        locks, bases = await asyncio.to_thread(_taken_from, source, by_docker="docker" in command[0])
    facts = await desk.images.inspect(run.service, digest)
    return Build(
        digest,
        invocation,
        started.isoformat(timespec="seconds"),
        desk.clock.now().isoformat(timespec="seconds"),
        command,
        artefact.materials(repository, commit, locks, facts, bases),
    )


def _taken_from(source: Path, *, by_docker: bool) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """The locks of a tree by name with their sha256, and the base images that its Dockerfile pins."""
    files = sorted(path for path in source.glob("requirements*.txt") if path.is_file())
    locks = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    dockerfile = source / "Dockerfile"
    text = dockerfile.read_text(errors="replace") if by_docker and dockerfile.is_file() else ""
    return locks, artefact.pinned_bases(text)


async def _facts(desk: wiring.Desk, release: Release) -> ImageFacts:
    return await desk.images.inspect(release.service, release.digest)


def _repository(desk: wiring.Desk, run: Run) -> str:
    return desk.catalog.service(run.service).repository
