"""The documents of an image, as the OCI image specification 1.1 has them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from local_platform.images.layer import Layer
from local_platform.images.recipe import Recipe

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    "PYTHONPATH": "/app/src:/app/lib",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Image:
    """An image that is ready to be pushed."""

    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> str:
        """What names the image everywhere."""
        return digest_of(self.manifest)


def digest_of(content: bytes) -> str:
    """The digest of a blob, as registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def image(
    recipe: Recipe, layers: Sequence[tuple[str, Layer]], labels: Mapping[str, str], epoch: int
) -> Image:
    """The image of `layers` (each with the words for its history). `epoch`: seconds, its time of creation."""
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    run: dict[str, object] = {
        "User": f"{recipe.uid}:{recipe.uid}",
        "Env": [f"{name}={value}" for name, value in sorted((_ENVIRONMENT | recipe.env).items())],
        "WorkingDir": "/app",
        "StopSignal": "SIGTERM",
        "Labels": dict(sorted(labels.items())),
    }
    if recipe.entrypoint:
        run["Entrypoint"] = list(recipe.entrypoint)
    if recipe.command:
        run["Cmd"] = list(recipe.command)
    if recipe.port:
        run["ExposedPorts"] = {f"{recipe.port}/tcp": {}}
    config = _json(
        {
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for _, layer in layers]},
            "history": [{"created": created, "created_by": words} for words, _ in layers],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": x.digest, "size": x.size} for _, x in layers],
        }
    )
    return Image(manifest, config, tuple(layer for _, layer in layers))


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
