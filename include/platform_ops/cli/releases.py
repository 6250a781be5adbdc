"""`ops release`: what is known of a built release, from the ledger and the registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from platform_ops.core import artefact
from platform_ops.core.errors import NotFound
from platform_ops.wiring import Desk

from .asking import AsJson, Service, at_desk
from .output import out, print_json


@dataclass(frozen=True)
class Facts:
    """A release, its image and what is said about it. `problems` are those that `check_image` would find."""

    service: str
    release: str
    commit: str
    digest: str
    labels: Mapping[str, str]
    documents: Mapping[str, str]
    """Artifact type to the digest of the artifact manifest, of everything that refers to the image."""
    components: int
    source: str
    builder: str
    problems: tuple[str, ...]


def release(
    service: Service,
    name: Annotated[str, typer.Argument(metavar="RELEASE", help="Name or digest.")],
    as_json: AsJson = False,
) -> None:
    """A built release: digest, labels, bill of materials, and where it comes from."""

    async def act(desk: Desk) -> None:
        facts = await _facts(desk, service, name)
        if as_json:
            print_json(facts)
        else:
            _show(facts)

    at_desk(act)


async def _facts(desk: Desk, service: str, name: str) -> Facts:
    desk.catalog.service(service)
    found = await desk.ledger.releases.find(service, name)
    if found is None:
        known = [one.name for one in await desk.ledger.releases.of(service, 10)]
        raise NotFound(
            f"the ledger holds no release {name!r} of {service}; newest: {', '.join(known) or 'none'}"
        )
    image = await desk.images.inspect(service, found.digest)
    attached = await desk.attestations.of(service, found.digest)
    gate = await desk.ledger.gates.latest(service, found.digest, artefact.ATTESTED)
    kept: Mapping[str, str] = dict(gate.detail) if gate else {}
    contents = {one.digest: one.content for one in attached}
    bill = _json(contents.get(kept.get(artefact.SBOM, "")))
    predicate = _json(contents.get(kept.get(artefact.PROVENANCE, ""))).get("predicate", {})
    source = predicate.get("buildDefinition", {}).get("externalParameters", {}).get("source", {})
    problems = (
        *artefact.image_problems(found, image),
        *artefact.attestation_problems(found, desk.settings.builder_id, kept, attached),
    )
    return Facts(
        service,
        found.name,
        found.commit,
        found.digest,
        image.labels,
        {one.artifact_type: one.digest for one in attached},
        len(bill.get("components", ())),
        f"{source.get('uri', '')}@{source.get('digest', {}).get('gitCommit', '')}" if source else "",
        predicate.get("runDetails", {}).get("builder", {}).get("id", ""),
        problems,
    )


def _show(facts: Facts) -> None:
    lines = [
        f"{facts.service} {facts.release}",
        f"  digest      {facts.digest}",
        f"  commit      {facts.commit}",
        *(f"  label       {key}={value}" for key, value in sorted(facts.labels.items())),
        f"  components  {facts.components or 'no bill of materials'}",
        f"  source      {facts.source or 'no statement of provenance'}",
        f"  builder     {facts.builder or 'no statement of provenance'}",
        *(f"  document    {kind} {digest}" for kind, digest in sorted(facts.documents.items())),
        *(f"  wrong       {problem}" for problem in facts.problems),
    ]
    out.print("\n".join(lines), markup=False, soft_wrap=True)


def _json(content: bytes | None) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(content) if content else {}
    return document
