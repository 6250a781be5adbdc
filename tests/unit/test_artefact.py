"""What is said about an image: the documents, and what the check before the votes finds wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from platform_ops.core.artefact import (
    PROVENANCE,
    SBOM,
    Build,
    attestation_problems,
    image_problems,
    labels_of,
    materials,
    pinned_bases,
    statement,
)
from platform_ops.core.ports import Attestation, ImageFacts
from platform_ops.core.release import Release

REPOSITORY = "https://git.example.com/platform/llm-service.git"
RELEASE = Release("llm-service", "1.2.0", "c" * 40, "sha256:" + "d" * 64)
BUILDER = "https://platform-ops.io/builder"
FACTS = ImageFacts(RELEASE.digest, 1000, {}, "10001:10001", ("sha256:" + "1" * 64, "sha256:" + "2" * 64))
BUILD = Build(
    RELEASE.digest,
    "promote_llm-service_development/manual__1",
    "2026-01-01T00:00:00+00:00",
    "2026-01-01T00:00:09+00:00",
    ("docker", "buildx", "build"),
    materials(REPOSITORY, RELEASE.commit, {"requirements.txt": "e" * 64}, FACTS, ()),
)
Edit = Callable[[dict[str, Any]], None]


def labelled(**changed: str) -> ImageFacts:
    committed = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    labels = labels_of("llm-service", "1.2.0", "c" * 40, committed, REPOSITORY)
    return replace(FACTS, labels=labels | {f"org.opencontainers.image.{k}": v for k, v in changed.items()})


def test_the_labels_depend_on_the_commit_alone() -> None:
    assert labelled().labels["org.opencontainers.image.created"] == "2026-01-01T00:00:00Z"
    assert labelled().labels["org.opencontainers.image.source"] == REPOSITORY


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (labelled(), []),
        (labelled(revision="f" * 40), ["its label revision says ffffffff"]),
        (labelled(version="9.9.9"), ["its label version says 9.9.9"]),
        (labelled(title="another"), ["its label title says another"]),
        (replace(labelled(), user="0:0"), ["it would run as root"]),
        (replace(labelled(), user=""), ["it would run as root"]),
        (FACTS, ["its label revision says nothing", "its label version", "its label title"]),
    ],
)
def test_an_image_is_of_its_release_and_not_roots(facts: ImageFacts, said: list[str]) -> None:
    found = list(image_problems(RELEASE, facts))
    assert [problem.startswith(words) for problem, words in zip(found, said, strict=True)] == [True] * len(
        said
    )


def test_the_statement_names_image_source_builder_and_every_material_by_digest() -> None:
    document = json.loads(statement(RELEASE, REPOSITORY, "registry.example.com/llm-service", BUILDER, BUILD))
    predicate = document["predicate"]
    assert document["subject"] == [
        {"name": "registry.example.com/llm-service", "digest": {"sha256": "d" * 64}}
    ]
    dependencies = predicate["buildDefinition"]["resolvedDependencies"]
    assert [one["digest"] for one in dependencies] == [
        {"gitCommit": "c" * 40}, {"sha256": "e" * 64}, {"sha256": "1" * 64},
    ]  # fmt: skip
    assert predicate["runDetails"] == {
        "builder": {"id": BUILDER},
        "metadata": {
            "invocationId": BUILD.run,
            "startedOn": BUILD.started,
            "finishedOn": BUILD.finished,
        },
    }


def test_the_same_build_gives_the_same_statement_after_the_ledger_kept_it() -> None:
    kept = Build.from_json(json.loads(json.dumps(BUILD.to_json())))
    assert statement(RELEASE, "r", "i", BUILDER, kept) == statement(RELEASE, "r", "i", BUILDER, BUILD)


def test_a_build_from_before_builds_were_kept_claims_no_times() -> None:
    document = json.loads(statement(RELEASE, "r", "i", BUILDER, Build(RELEASE.digest, "run")))
    assert document["predicate"]["runDetails"]["metadata"] == {"invocationId": "run"}


def test_base_images_are_those_that_are_pinned() -> None:
    text = "FROM --platform=$BUILDPLATFORM debian:12@sha256:" + "a" * 64 + " AS build\nFROM debian:12-slim\n"
    assert pinned_bases(text) == (("debian:12", "a" * 64),)
    with_base = materials(REPOSITORY, "c" * 40, {}, FACTS, pinned_bases(text))
    assert with_base[1:] == ({"name": "base image", "uri": "oci:debian:12", "digest": {"sha256": "a" * 64}},)


def bill() -> dict[str, Any]:
    revision = {"name": "org.opencontainers.image.revision", "value": RELEASE.commit}
    image = {"version": RELEASE.digest, "properties": [revision]}
    return {"bomFormat": "CycloneDX", "metadata": {"component": image}, "components": [{"name": "httpx"}]}


def told() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(statement(RELEASE, REPOSITORY, "image", BUILDER, BUILD))
    return document


def problems(kind: str = "", edit: Edit | None = None, *, lost: str = "", unknown: str = "") -> list[str]:
    """With the document of that kind edited, lost from the registry, or unknown to the ledger."""
    documents = {SBOM: bill(), PROVENANCE: told()}
    if edit is not None:
        edit(documents[kind])
    found = [
        Attestation(kind, f"sha256:of-{kind}", json.dumps(document).encode())
        for kind, document in documents.items()
        if kind != lost
    ]
    kept = {kind: f"sha256:of-{kind}" for kind in documents if kind != unknown}
    return list(attestation_problems(RELEASE, BUILDER, kept, found))


def another_image(document: dict[str, Any]) -> None:
    document["metadata"]["component"]["version"] = "sha256:0"


def no_commit(document: dict[str, Any]) -> None:
    document["metadata"]["component"]["properties"] = []


def nothing_installed(document: dict[str, Any]) -> None:
    document["components"] = []


def another_subject(document: dict[str, Any]) -> None:
    document["subject"][0]["digest"]["sha256"] = "0"


def another_commit(document: dict[str, Any]) -> None:
    other = {"digest": {"gitCommit": "f" * 40}}
    document["predicate"]["buildDefinition"]["resolvedDependencies"] = [other]


def another_builder(document: dict[str, Any]) -> None:
    document["predicate"]["runDetails"]["builder"]["id"] = "https://elsewhere.example.com"


def test_whole_documents_about_this_image_pass() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("kind", "edit", "said"),
    [
        (SBOM, another_image, "is about sha256:0"),
        (SBOM, no_commit, "names the commit of nothing"),
        (SBOM, nothing_installed, "lists nothing"),
        (SBOM, dict.clear, "is no CycloneDX document"),
        (PROVENANCE, another_subject, "is about 0"),
        (PROVENANCE, another_commit, "names the commit ffff"),
        (PROVENANCE, another_builder, "is of the builder https://elsewhere.example.com, not of"),
        (PROVENANCE, dict.clear, "is no SLSA provenance v1"),
    ],
)
def test_a_document_about_something_else_is_refused(kind: str, edit: Edit, said: str) -> None:
    (problem,) = problems(kind, edit)
    assert said in problem


@pytest.mark.parametrize("kind", [SBOM, PROVENANCE])
def test_a_document_that_is_lost_or_that_the_build_did_not_attach_counts_for_nothing(kind: str) -> None:
    (lost,), (unknown,) = problems(lost=kind), problems(unknown=kind)
    assert f"sha256:of-{kind} is not in the registry any more: run build again" in lost
    assert unknown.startswith("the ledger knows no ")


def test_times_of_labels_are_in_utc() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert labels_of("s", "1", "c", noon, "r")["org.opencontainers.image.created"] == "2026-06-01T12:00:00Z"
