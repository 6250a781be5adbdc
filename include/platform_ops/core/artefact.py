"""What is said about a built image, and whether it holds: labels, provenance, the check before the votes.

The statement follows https://in-toto.io/Statement/v1 with the predicate https://slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from .ports import Attestation, ImageFacts
from .release import Release

SBOM = "application/vnd.cyclonedx+json"
PROVENANCE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://platform-ops.io/image-build/v1"

BUILD = "build"
"""Gate of a commit: what was built of it, when and with what."""
ATTESTED = "attested"
"""Gate of a digest: which bill of materials and which statement of provenance the build attached."""

_REVISION = "org.opencontainers.image.revision"
_VERSION = "org.opencontainers.image.version"
_TITLE = "org.opencontainers.image.title"
_CREATED = "org.opencontainers.image.created"
_SOURCE = "org.opencontainers.image.source"
_BASE = "org.opencontainers.image.base."
_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*([^\s@]+)@sha256:([0-9a-f]{64})", re.M | re.I)


def labels_of(
    service: str, version: str, commit: str, committed: datetime, repository: str
) -> dict[str, str]:
    """Of one commit, always the same (https://github.com/opencontainers/image-spec/blob/main/annotations.md)."""
    return {
        _REVISION: commit,
        _VERSION: version,
        _TITLE: service,
        _CREATED: committed.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        _SOURCE: repository,
    }


@dataclass(frozen=True)
class Build:
    """One build as the ledger keeps it. The statement is made from it alone: it is always the same."""

    digest: str
    run: str
    """Identifies the run that built it: `DAG/RUN`."""
    started: str = ""
    """ISO 8601; empty for an image from before builds were kept."""
    finished: str = ""
    command: tuple[str, ...] = ()
    materials: tuple[Mapping[str, Any], ...] = ()
    """Resource descriptors of the statement, each with a digest."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Build:
        return cls(
            stored["digest"],
            stored["run"],
            stored.get("started", ""),
            stored.get("finished", ""),
            tuple(stored.get("command", ())),
            tuple(stored.get("materials", ())),
        )


def materials(
    repository: str,
    commit: str,
    files: Mapping[str, str],
    facts: ImageFacts,
    base_images: Iterable[tuple[str, str]],
) -> tuple[Mapping[str, Any], ...]:
    """What went into the image: commit, locks (path to sha256), base images (name, sha256) or base layer."""
    found: list[dict[str, Any]] = [_source(repository, commit)]
    found += [
        {"name": path, "uri": f"git+{repository}@{commit}#{path}", "digest": {"sha256": sha256}}
        for path, sha256 in sorted(files.items())
    ]
    bases = [*base_images]
    if named := facts.labels.get(f"{_BASE}digest"):
        bases.append((facts.labels.get(f"{_BASE}name", "base"), named.removeprefix("sha256:")))
    for name, sha256 in dict.fromkeys(bases):
        found.append({"name": "base image", "uri": f"oci:{name}", "digest": {"sha256": sha256}})
    if not bases and facts.layers:
        sha256 = facts.layers[0].removeprefix("sha256:")
        found.append({"name": "base layer", "uri": f"oci-layer:{sha256}", "digest": {"sha256": sha256}})
    return tuple(found)


def pinned_bases(dockerfile: str) -> tuple[tuple[str, str], ...]:
    """Name and sha256 of the images that a Dockerfile takes by digest; one taken by a tag cannot be told."""
    return tuple(dict.fromkeys(_FROM.findall(dockerfile)))


def statement(release: Release, repository: str, image: str, builder: str, build: Build) -> bytes:
    """The in-toto statement of a build."""
    times = {"startedOn": build.started, "finishedOn": build.finished}
    document = {
        "_type": STATEMENT,
        "subject": [{"name": image, "digest": {"sha256": build.digest.removeprefix("sha256:")}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "service": release.service,
                    "version": release.version,
                    "source": _source(repository, release.commit),
                },
                "internalParameters": {"command": list(build.command)},
                "resolvedDependencies": [dict(one) for one in build.materials],
            },
            "runDetails": {
                "builder": {"id": builder},
                "metadata": {"invocationId": build.run} | {k: v for k, v in times.items() if v},
            },
        },
    }
    return json.dumps(document, sort_keys=True, indent=1).encode()


def image_problems(release: Release, facts: ImageFacts) -> Iterator[str]:
    """What is wrong with the image itself."""
    wanted = {_REVISION: release.commit, _VERSION: release.version, _TITLE: release.service}
    for label, value in wanted.items():
        found = facts.labels.get(label)
        if found != value:
            what = label.rpartition(".")[2]
            yield f"its label {what} says {found or 'nothing'}, the release is of {value}"
    if facts.user.partition(":")[0] in ("", "0", "root"):
        yield "it would run as root: set a numeric USER other than 0"


def attestation_problems(
    release: Release, builder: str, kept: Mapping[str, str], found: Sequence[Attestation]
) -> Iterator[str]:
    """Whether bill and statement are those that the build attached, and are about this image and commit.

    `kept` is what the ledger wrote down of them: artifact type to digest. Whoever may push can attach one,
    so one that the ledger does not know counts for nothing.
    """
    by_digest = {one.digest: one for one in found}
    for artifact_type, what, judge in (
        (SBOM, "bill of materials (SBOM)", _bill_problem),
        (PROVENANCE, "statement of provenance", _statement_problem),
    ):
        digest = kept.get(artifact_type)
        if digest is None:
            yield f"the ledger knows no {what} of it: run build again"
        elif digest not in by_digest:
            yield f"its {what} {digest} is not in the registry any more: run build again"
        elif problem := judge(release, builder, by_digest[digest].content):
            yield f"its {what} {problem}"


def _bill_problem(release: Release, builder: str, content: bytes) -> str | None:
    document = _json(content)
    image = document.get("metadata", {}).get("component", {})
    commits = [one.get("value") for one in image.get("properties", ()) if one.get("name") == _REVISION]
    if document.get("bomFormat") != "CycloneDX":
        return "is no CycloneDX document"
    if image.get("version") != release.digest:
        return f"is about {image.get('version')}"
    if commits != [release.commit]:
        return f"names the commit {', '.join(map(str, commits)) or 'of nothing'}"
    if not document.get("components"):
        return "lists nothing, and an image without any package is not one that was read"
    return None


def _statement_problem(release: Release, builder: str, content: bytes) -> str | None:
    document = _json(content)
    subjects = [one.get("digest", {}).get("sha256") for one in document.get("subject", ())]
    predicate = document.get("predicate", {})
    materials = predicate.get("buildDefinition", {}).get("resolvedDependencies", ())
    commits = {one.get("digest", {}).get("gitCommit") for one in materials} - {None}
    named = predicate.get("runDetails", {}).get("builder", {}).get("id")
    if (document.get("_type"), document.get("predicateType")) != (STATEMENT, PREDICATE):
        return "is no SLSA provenance v1"
    if subjects != [release.digest.removeprefix("sha256:")]:
        return f"is about {', '.join(map(str, subjects)) or 'nothing'}"
    if commits != {release.commit}:
        return f"names the commit {', '.join(map(str, sorted(commits))) or 'of nothing'}"
    if named != builder:
        return f"is of the builder {named}, not of {builder}"
    return None


def _json(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _source(repository: str, commit: str) -> dict[str, Any]:
    return {"uri": f"git+{repository}", "digest": {"gitCommit": commit}}
