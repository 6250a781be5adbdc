"""Reads images from a registry over the OCI distribution API; everything that arrives is checked against
its digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from local_platform.node.references import Reference

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = ", ".join(INDEXES + MANIFESTS)
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}
CHUNK = 1 << 18


class RegistryError(Exception):
    """The registry did not give what was asked for; the text follows containerd's, which people search
    for.
    """


@dataclass(frozen=True)
class Descriptor:
    """A blob of the registry: type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Descriptor:
        return cls(data.get("mediaType", ""), data["digest"], data["size"])


@dataclass(frozen=True)
class Manifest:
    """One image for this machine."""

    digest: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


class RegistryClient:
    """One registry session. `mirrors` sends the requests for a host elsewhere; loopback hosts speak plain
    HTTP.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        plain_http: frozenset[str] = frozenset(),
        mirrors: Mapping[str, str] | None = None,
    ) -> None:
        self._session = session
        self._plain_http = plain_http
        self._mirrors = dict(mirrors or {})
        self._tokens: dict[str, str] = {}

    async def manifest(self, reference: Reference, credentials: aiohttp.BasicAuth | None = None) -> Manifest:
        """The manifest of a reference; an index is followed to the image of this machine.

        Raises:
            RegistryError: registry away, image unknown, access denied, or bytes that are not the digest's.
        """
        raw, digest = await self._read_manifest(reference, reference.target, credentials)
        document = json.loads(raw)
        if "manifests" in document:
            digest_here = choose_platform(document, str(reference))
            raw, _ = await self._read_manifest(reference, digest_here, credentials)
            document = json.loads(raw)
        return Manifest(
            digest,
            Descriptor.from_json(document["config"]),
            tuple(Descriptor.from_json(layer) for layer in document["layers"]),
        )

    async def _read_manifest(
        self, reference: Reference, target: str, credentials: aiohttp.BasicAuth | None
    ) -> tuple[bytes, str]:
        url = f"{self._base(reference)}/manifests/{target}"
        async with await self._get(reference, url, credentials, {"Accept": ACCEPT}) as response:
            raw = await response.read()
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        if target.startswith("sha256:") and digest != target:
            raise RegistryError(
                f'"{reference}": manifest has {digest}, wanted {target}; the registry is damaged'
            )
        return raw, digest

    async def blob(
        self,
        reference: Reference,
        wanted: Descriptor,
        target: Path,
        credentials: aiohttp.BasicAuth | None = None,
    ) -> None:
        """Write one blob to `target`.

        Raises:
            RegistryError: also when size or sha256 differ; what was written is then worthless.
        """
        url = f"{self._base(reference)}/blobs/{wanted.digest}"
        digest = hashlib.sha256()
        size = 0
        async with await self._get(reference, url, credentials, {}) as response:
            with open(target, "wb") as file:  # noqa: ASYNC230 (blocks of 256 KiB to a local disk)
                try:
                    async for chunk in response.content.iter_chunked(CHUNK):
                        size += len(chunk)
                        digest.update(chunk)
                        file.write(chunk)
                except aiohttp.ClientError as error:
                    raise RegistryError(
                        f'"{reference}": {wanted.digest} broke off after {size} bytes: {error}'
                    ) from error
        if size != wanted.size or f"sha256:{digest.hexdigest()}" != wanted.digest:
            raise RegistryError(
                f'"{reference}": blob {wanted.digest} arrived as sha256:{digest.hexdigest()} ({size} bytes)'
            )

    def _base(self, reference: Reference) -> str:
        host = self._mirrors.get(reference.host, reference.host)
        if host == "docker.io":
            host = "registry-1.docker.io"
        bare = host.rpartition(":")[0] or host
        plain = host in self._plain_http or bare == "localhost" or bare.startswith("127.")
        return f"{'http' if plain else 'https'}://{host}/v2/{reference.name}"

    async def _get(
        self, reference: Reference, url: str, credentials: aiohttp.BasicAuth | None, headers: dict[str, str]
    ) -> aiohttp.ClientResponse:
        for attempt in (1, 2):
            token = self._tokens.get(reference.repository)
            bearer = {"Authorization": f"Bearer {token}"} if token else {}
            try:
                response = await self._session.get(
                    url, headers=headers | bearer, auth=None if token else credentials
                )
            except aiohttp.ClientConnectorError as error:
                address = f"{error.host}:{error.port}"
                raise RegistryError(
                    f'failed to do request: Head "{url}": dial tcp {address}: connect: '
                    f"{os.strerror(error.os_error.errno or 0).lower()}"
                ) from error
            except aiohttp.ClientError as error:
                raise RegistryError(f'failed to do request: Head "{url}": {error}') from error
            if (
                response.status == 401
                and attempt == 1
                and await self._login(reference, response, credentials)
            ):
                continue
            break
        if response.status == 404:
            response.release()
            raise RegistryError(f"{reference}: not found")
        if response.status in (401, 403):
            response.release()
            raise RegistryError(
                f"{reference}: access denied ({response.status}); check the pod's imagePullSecrets"
            )
        if response.status != 200:
            response.release()
            raise RegistryError(
                f"unexpected status from GET request to {url}: {response.status} {response.reason}"
            )
        return response

    async def _login(
        self, reference: Reference, refused: aiohttp.ClientResponse, credentials: aiohttp.BasicAuth | None
    ) -> bool:
        """The token handshake of the distribution specification; False when the registry offers none."""
        challenge = refused.headers.get("WWW-Authenticate", "")
        refused.release()
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not challenge.lower().startswith("bearer") or "realm" not in fields:
            return False
        query = {"service": fields.get("service", ""), "scope": f"repository:{reference.name}:pull"}
        async with self._session.get(fields["realm"], params=query, auth=credentials) as response:
            if response.status != 200:
                return False
            answer = await response.json(content_type=None)
        self._tokens[reference.repository] = answer.get("token") or answer.get("access_token", "")
        return True


def choose_platform(index: Mapping[str, Any], name: str) -> str:
    """The digest of the index's image for Linux on this machine."""
    machine = MACHINE.get(platform.machine(), platform.machine())
    for entry in index["manifests"]:
        wanted = entry.get("platform", {})
        if wanted.get("os") == "linux" and wanted.get("architecture") == machine:
            return str(entry["digest"])
    raise RegistryError(f"{name}: no match for platform in manifest: linux/{machine}")
