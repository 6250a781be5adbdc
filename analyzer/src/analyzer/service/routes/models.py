"""Model versions: what there is, what serves, and registering a document."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from fastapi import APIRouter

from analyzer.calibration.model import digest, load
from analyzer.service.dependencies import Admin, Analyst, RuntimeDep
from analyzer.service.problems import BODY, CONFLICT, GUARDED, MISSING, STORED
from analyzer.service.registry import Registry
from analyzer.service.schemas import Name, Version, VersionChoice, VersionDocument, VersionRequest, Versions
from analyzer.storage.records import Conflict, ModelVersion, NotFound

routes = APIRouter(prefix="/versions", tags=["models"], responses=GUARDED)


@routes.get("")
async def versions(runtime: RuntimeDep, caller: Analyst) -> Versions:
    """All versions as this process last saw them."""
    registry = runtime.registry
    stored = sorted(registry.snapshot.versions.values(), key=lambda version: version.created_at)
    return Versions(
        active=registry.active,
        versions=[_builtin(registry), *(_shown(registry, version) for version in stored)],
    )


@routes.get("/{name}/document", responses=MISSING | BODY)
async def document(name: Name, runtime: RuntimeDep, caller: Analyst) -> VersionDocument:
    """One version with its document, which POST /versions/create takes elsewhere."""
    registry = runtime.registry
    if name == registry.builtin:
        return VersionDocument(**_builtin(registry).model_dump(), model=None)
    found = registry.snapshot.versions.get(name)
    if found is None:
        raise NotFound(f"no version is named {name!r}")
    model = json.loads(json.dumps(found.document))
    return VersionDocument(**_shown(registry, found).model_dump(), model=model)


@routes.post("/create", status_code=201, responses=BODY | CONFLICT | STORED)
async def create(body: VersionRequest, runtime: RuntimeDep, caller: Admin) -> Version:
    """Registers a model document. 201 means that the database has it; it serves when it is chosen."""
    registry = runtime.registry
    if body.name == registry.builtin:
        raise Conflict(f"{body.name!r} is the version built into the engine")
    # Read by the same reader that will serve it, and stored as read: nothing else of the body is kept.
    model = load(body.model, registry.builtin).document()
    made = ModelVersion(
        body.name, model, digest(model), "upload", datetime.now(UTC), caller.key_id, body.description
    )
    await runtime.store.create_version(made)
    await registry.refresh()
    return _shown(registry, made)


@routes.post("/activate", responses=BODY | CONFLICT | MISSING | STORED)
async def activate(body: VersionChoice, runtime: RuntimeDep, caller: Admin) -> Versions:
    """Puts a version in service outside of experiments; the built-in one by its name."""
    registry = runtime.registry
    await registry.refresh()
    registry.require(body.version)
    await runtime.store.activate(None if body.version == registry.builtin else body.version)
    await registry.refresh()
    return await versions(runtime, caller)


def _builtin(registry: Registry) -> Version:
    return Version(
        name=registry.builtin,
        builtin=True,
        active=registry.active == registry.builtin,
        problem=None,
        source="engine",
        description="the engine's own version",
        sha256=None,
        created_at=None,
        created_by=None,
    )


def _shown(registry: Registry, version: ModelVersion) -> Version:
    return Version(
        name=version.name,
        builtin=False,
        active=registry.active == version.name,
        problem=registry.problem(version.name),
        source=version.source,
        description=version.description,
        sha256=version.sha256,
        created_at=version.created_at,
        created_by=version.created_by,
    )
