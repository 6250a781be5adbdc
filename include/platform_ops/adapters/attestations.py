"""Documents about an image, kept in the registry beside it as OCI 1.1 referrers.

A document is an artifact manifest whose `subject` is the image. For a registry without referrers API the
client keeps an index itself, under the tag `sha256-HEX`:
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#unavailable-referrers-api
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from platform_ops.core.errors import Conflict, NotFound, Refused
from platform_ops.core.ports import Attestation

from .images import ImageName
from .registry import INDEX_TYPES, MANIFEST_TYPES, Registry, digest_of

Descriptor = Mapping[str, Any]
_MANIFEST, _INDEX = MANIFEST_TYPES[0], INDEX_TYPES[0]
_NOTHING = b"{}"
_EMPTY = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": digest_of(_NOTHING),
    "size": len(_NOTHING),
}
_ATTEMPTS = 5


class RegistryAttestations:
    """The `Attestations` port. `names` maps a service to its image name, as for the images themselves."""

    def __init__(self, registries: Mapping[str, Registry], names: Mapping[str, ImageName]) -> None:
        self._registries = registries
        self._names = names

    async def attach(self, service: str, digest: str, artifact_type: str, content: bytes) -> str:
        registry, name = self._of(service)
        await registry.push_blob(name, _NOTHING)
        document = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": artifact_type,
            "config": _EMPTY,
            "layers": [
                {
                    "mediaType": artifact_type,
                    "digest": await registry.push_blob(name, content),
                    "size": len(content),
                }
            ],
            "subject": await _descriptor(registry, name, digest),
        }
        manifest = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        stored = digest_of(manifest)
        answer = await registry.push_manifest(name, stored, manifest, _MANIFEST)
        if "oci-subject" not in answer:
            entry = {
                "mediaType": _MANIFEST,
                "artifactType": artifact_type,
                "digest": stored,
                "size": len(manifest),
            }
            await _list_under_tag(registry, name, digest, entry)
        return stored

    async def of(self, service: str, digest: str) -> tuple[Attestation, ...]:
        registry, name = self._of(service)
        listed = await _referrers(registry, name, digest)
        return tuple([await _read(registry, name, digest, one) for one in listed])

    def _of(self, service: str) -> tuple[Registry, str]:
        if service not in self._names:
            raise NotFound(f"no image for {service!r} in the catalog; it has {', '.join(self._names)}")
        name = self._names[service]
        return self._registries[name.host], name.name


async def _referrers(registry: Registry, name: str, digest: str) -> list[Descriptor]:
    text = await registry.find(name, f"referrers/{digest}")
    if text is None:
        text = await registry.find(name, f"manifests/{_tag(digest)}")
    listed: list[Descriptor] = json.loads(text).get("manifests") or [] if text else []
    return listed


async def _list_under_tag(registry: Registry, name: str, digest: str, entry: Descriptor) -> None:
    """Two writers may overwrite each other's list: what was written is read back."""
    for _ in range(_ATTEMPTS):
        text = await registry.find(name, f"manifests/{_tag(digest)}")
        listed = json.loads(text)["manifests"] if text else []
        if any(one["digest"] == entry["digest"] for one in listed):
            return
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [*listed, entry]}
        await registry.push_manifest(name, _tag(digest), json.dumps(index).encode(), _INDEX)
    raise Conflict(f"{name}@{digest}: others keep changing the list of its documents")


async def _descriptor(registry: Registry, name: str, digest: str) -> dict[str, Any]:
    text, media_type = await registry.document(name, "manifests", digest)
    named = json.loads(text).get("mediaType") or media_type
    return {"mediaType": named, "digest": digest, "size": len(text)}


async def _read(registry: Registry, name: str, subject: str, entry: Descriptor) -> Attestation:
    digest = entry["digest"]
    try:
        manifest = json.loads((await registry.document(name, "manifests", digest))[0])
        layers = manifest.get("layers") or []
        content = (await registry.document(name, "blobs", layers[0]["digest"]))[0] if layers else b""
    except NotFound as lost:
        raise Refused(
            f"{name}@{subject}: its document {digest} is not whole in the registry: {lost}"
        ) from lost
    return Attestation(manifest.get("artifactType", ""), digest, content)


def _tag(digest: str) -> str:
    return digest.replace(":", "-", 1)
