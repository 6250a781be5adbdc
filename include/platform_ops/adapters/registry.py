"""The registry side of the distribution API: requests, tokens, digests that are checked.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md and, for the token exchange,
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import httpx

from platform_ops.core.errors import NotFound, Refused, Unavailable

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_SIZE_LIMIT = 4 << 20


@dataclass(frozen=True)
class Credentials:
    user: str = ""
    password: str = ""

    @property
    def basic(self) -> httpx.BasicAuth | None:
        return httpx.BasicAuth(self.user, self.password) if self.user else None


class Registry:
    """One registry. `plain_http` is for a registry on loopback."""

    def __init__(
        self, client: httpx.AsyncClient, host: str, credentials: Credentials, *, plain_http: bool = False
    ) -> None:
        self._client = client
        self._base = f"{'http' if plain_http else 'https'}://{host}/v2"
        self._credentials = credentials
        self._tokens: dict[str, str] = {}

    async def manifest_digest(self, name: str, tag: str) -> str | None:
        """The digest behind a tag; None when there is no such tag."""
        try:
            answer = await self._ask("HEAD", name, f"manifests/{tag}")
        except NotFound:
            return None
        digest: str = answer.headers.get("docker-content-digest", "")
        if not digest:
            raise Refused(f"{self._base}/{name}: the registry tells no digest for the tag {tag}")
        return digest

    async def document(self, name: str, kind: str, digest: str) -> tuple[bytes, str]:
        """Bytes and media type of a manifest or a small blob, its digest checked."""
        answer = await self._ask("GET", name, f"{kind}/{digest}")
        if len(answer.content) > _SIZE_LIMIT:
            raise Refused(f"{name}: {kind} {digest} has {len(answer.content)} bytes; 4 MiB is the most")
        found = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        if found != digest:
            raise Refused(f"{name}: {kind} {digest} really has the digest {found}; push the image again")
        return answer.content, answer.headers.get("content-type", "")

    async def blob_size(self, name: str, digest: str) -> int | None:
        """Bytes of a blob as the registry has it; None when it is missing."""
        try:
            answer = await self._ask("HEAD", name, f"blobs/{digest}")
        except NotFound:
            return None
        return int(answer.headers.get("content-length", "0"))

    async def _ask(self, method: str, name: str, path: str) -> httpx.Response:
        answer = await self._send(method, name, path)
        if answer.status_code == 401 and "www-authenticate" in answer.headers:
            self._tokens[name] = await self._token(answer.headers["www-authenticate"], name)
            answer = await self._send(method, name, path)
        if answer.status_code == 200:
            return answer
        text = f"registry {self._base}/{name}/{path}: HTTP {answer.status_code}"
        if answer.status_code == 404:
            raise NotFound(text)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unavailable(text)
        raise Refused(f"{text}; check PLATFORM_OPS_REGISTRY_USER and PLATFORM_OPS_REGISTRY_PASSWORD")

    async def _send(self, method: str, name: str, path: str) -> httpx.Response:
        headers = {"Accept": _ACCEPT} if path.startswith("manifests/") else {}
        if token := self._tokens.get(name):
            headers["Authorization"] = token
        try:
            return await self._client.request(
                method, f"{self._base}/{name}/{path}", headers=headers, follow_redirects=True
            )
        except httpx.HTTPError as lost:
            raise Unavailable(f"registry {self._base}: {str(lost) or type(lost).__name__}") from lost

    async def _token(self, challenge: str, name: str) -> str:
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._credentials.basic is not None:
            request = httpx.Request("GET", self._base)
            return str(next(self._credentials.basic.auth_flow(request)).headers["Authorization"])
        asked = dict(_CHALLENGE.findall(rest))
        if scheme.lower() != "bearer" or "realm" not in asked:
            raise Refused(
                f"registry {self._base} asks for {scheme} authentication: set PLATFORM_OPS_REGISTRY_USER"
            )
        query = {
            "scope": asked.get("scope") or f"repository:{name}:pull",
            "service": asked.get("service", ""),
        }
        try:
            answer = await self._client.get(asked["realm"], params=query, auth=self._credentials.basic)
        except httpx.HTTPError as lost:
            raise Unavailable(f"token service {asked['realm']}: {str(lost) or type(lost).__name__}") from lost
        if answer.status_code >= 500:
            raise Unavailable(f"token service {asked['realm']}: HTTP {answer.status_code}")
        if answer.status_code != 200:
            raise Refused(f"token service {asked['realm']}: HTTP {answer.status_code} for {name}")
        granted: dict[str, Any] = answer.json()
        return f"Bearer {granted.get('token') or granted.get('access_token', '')}"
