"""Applying without an effect: the API server says what it would make of a manifest, and stores nothing.

https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Sequence

import yaml

from platform_ops.core.errors import NotFound, Refused
from platform_ops.core.manifest_diff import Change, ManifestChange, Object, comparable
from platform_ops.core.ports import Manifest
from platform_ops.core.release import Target

from .kube_api import DRY_RUN, KubeApi, object_path
from .kubernetes import apply_one
from .pods import require_digests


class KubernetesDryRun:
    """The `DryRun` port: manifests as `KubernetesWorkloads` and `KubernetesMigrations` would apply them."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def changes(self, target: Target, manifests: Sequence[Manifest]) -> tuple[ManifestChange, ...]:
        return tuple(await asyncio.gather(*(self._change(target, manifest) for manifest in manifests)))

    async def _change(self, target: Target, manifest: Manifest) -> ManifestChange:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        path = object_path(manifest["apiVersion"], kind, target.namespace, name)
        live = await self._api.find(target.context, path)
        try:
            require_digests(manifest)
            would_be = await self._applied(target, manifest, live)
        except (Refused, NotFound) as refused:
            return ManifestChange(kind, name, Change.REFUSED, why=str(refused))
        before, after = comparable(live, would_be)
        diff = _diff(before, after, f"{kind}/{name}")
        if live is None:
            return ManifestChange(kind, name, Change.NEW, diff)
        return ManifestChange(kind, name, Change.CHANGED if diff else Change.UNCHANGED, diff)

    async def _applied(self, target: Target, manifest: Manifest, live: Object | None) -> Object:
        if manifest["kind"] != "Job":
            return await apply_one(self._api, target, manifest, dry_run=True)
        if live is not None:
            return live  # a Job cannot be changed: one of that name is left as it is
        path = object_path(manifest["apiVersion"], "Job", target.namespace)
        return await self._api.request(target.context, "POST", path, query=DRY_RUN, body=manifest)


def _diff(before: Object, after: Object, title: str) -> str:
    lines = difflib.unified_diff(
        _yaml(before), _yaml(after), f"{title} (live)", f"{title} (applied)", lineterm=""
    )
    return "\n".join(lines)


def _yaml(found: Object) -> list[str]:
    text = yaml.safe_dump(dict(found), allow_unicode=True, width=10_000) if found else ""
    return text.splitlines()
