"""The node's images: pulled by tag or digest, verified, unpacked once, found again after a restart."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from local_platform.node.references import Reference, parse_reference
from local_platform.node.registry import Manifest, RegistryClient, RegistryError
from local_platform.node.unpack import UnpackError, chain_id, unpack_layer


class ImagePullError(Exception):
    """The image could not be fetched; the text goes into the pod's status."""


@dataclass(frozen=True)
class Image:
    """An unpacked image. `digest` is the manifest's (or the index's), `identity` the config's."""

    repository: str
    digest: str
    identity: str
    root: Path
    size: int
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = ""
    stop_signal: str = "SIGTERM"

    @property
    def identifier(self) -> str:
        """As containerd fills `imageID` in a pod's status."""
        return f"{self.repository}@{self.digest}"


class ImageStore:
    """Images below one folder: `layers/` holds file trees by chain, `references/` what each name was
    resolved to.
    """

    def __init__(self, folder: Path, registry: RegistryClient) -> None:
        self._layers = folder / "layers"
        self._references = folder / "references"
        self._downloads = folder / "downloads"
        for path in (self._layers, self._references, self._downloads):
            path.mkdir(parents=True, exist_ok=True)
        self._registry = registry
        self._locks: dict[str, asyncio.Lock] = {}

    def find(self, reference: str) -> Image | None:
        """The image if it was pulled before under exactly this reference."""
        path = self._file(str(parse_reference(reference)))
        if not path.exists():
            return None
        image = self._load(json.loads(path.read_text()))
        return image if image.root.exists() else None

    async def pull(self, reference: str, credentials: Mapping[str, aiohttp.BasicAuth] | None = None) -> Image:
        """Fetch what is missing and unpack it. Two pods that want the same image share one pull.

        Args:
            reference: as the pod names it.
            credentials: user and password by registry host, from imagePullSecrets.

        Raises:
            ImagePullError: with the reason, in containerd's words.
            InvalidReferenceError: the text names no image.
        """
        parsed = parse_reference(reference)
        auth = (credentials or {}).get(parsed.host)
        async with self._locks.setdefault(str(parsed), asyncio.Lock()):
            try:
                manifest = await self._registry.manifest(parsed, auth)
            except RegistryError as error:
                raise ImagePullError(
                    f'failed to pull and unpack image "{parsed}": '
                    f'failed to resolve reference "{parsed}": {error}'
                ) from error
            try:
                image = await self._unpack(parsed, manifest, auth)
            except (RegistryError, UnpackError, OSError) as error:
                raise ImagePullError(f'failed to pull and unpack image "{parsed}": {error}') from error
        return image

    async def _unpack(
        self, reference: Reference, manifest: Manifest, auth: aiohttp.BasicAuth | None
    ) -> Image:
        with tempfile.TemporaryDirectory(dir=self._downloads) as folder:
            config_file = Path(folder) / "config"
            await self._registry.blob(reference, manifest.config, config_file, auth)
            config = json.loads(config_file.read_text())
            below, chain = None, ""
            for layer, diff_id in zip(manifest.layers, config["rootfs"]["diff_ids"], strict=True):
                chain = chain_id(chain, diff_id)
                tree = self._tree(chain)
                async with self._locks.setdefault(chain, asyncio.Lock()):
                    if not tree.exists():
                        blob = Path(folder) / layer.digest.replace(":", "-")
                        await self._registry.blob(reference, layer, blob, auth)
                        await asyncio.to_thread(unpack_layer, blob, diff_id, below, tree)
                        blob.unlink()
                below = tree
        record = {
            "repository": reference.repository,
            "digest": manifest.digest,
            "identity": manifest.config.digest,
            "chain": chain,
            "size": sum(layer.size for layer in manifest.layers),
            "config": config.get("config", {}),
        }
        self._save(str(reference), record)
        return self._load(record)

    def _save(self, reference: str, record: dict[str, Any]) -> None:
        path = self._file(reference)
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(record))
        os.replace(scratch, path)

    def _load(self, record: Mapping[str, Any]) -> Image:
        config = record["config"] or {}
        return Image(
            repository=record["repository"],
            digest=record["digest"],
            identity=record["identity"],
            root=self._tree(record["chain"]),
            size=record["size"],
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            environment=dict(entry.partition("=")[::2] for entry in config.get("Env") or ()),
            directory=config.get("WorkingDir") or "/",
            user=config.get("User") or "",
            stop_signal=config.get("StopSignal") or "SIGTERM",
        )

    def _tree(self, chain: str) -> Path:
        return self._layers / chain.removeprefix("sha256:")

    def _file(self, reference: str) -> Path:
        return self._references / (reference.replace("/", "_") + ".json")
