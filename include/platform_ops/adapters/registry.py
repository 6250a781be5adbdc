"""The registry side of the distribution API: requests, tokens, digests that are checked.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md and, for the token exchange,
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from platform_ops.core.errors import NotFound, OpsError, Refused, Unavailable

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
_WRITES = ("POST", "PUT")


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
        self._tokens: dict[tuple[str, bool], str] = {}
        """By repository and whether they are for writing: a token has the scope it was asked for with."""

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
        found = digest_of(answer.content)
        if found != digest:
            raise Refused(f"{name}: {kind} {digest} really has the digest {found}; push the image again")
        return answer.content, answer.headers.get("content-type", "")

    async def blob_size(self, name: str, digest: str) -> int | None:
        """Bytes of a blob as the registry has it; None when it is missing, or cannot be read there."""
        try:
            answer = await self._ask("HEAD", name, f"blobs/{digest}")
        except NotFound:
            return None
        size = int(answer.headers.get("content-length", "0"))
        return size if await self._readable(name, digest) else None

    async def _readable(self, name: str, digest: str) -> bool:
        """Whether its first byte comes. A registry remembers sizes for a while: HEAD still answers well for a
        blob whose file is gone from its disk, and GET sends headers and nothing after them."""
        headers = {"Range": "bytes=0-0"}
        if token := self._tokens.get((name, False)):
            headers["Authorization"] = token
        url, answered = f"{self._base}/{name}/blobs/{digest}", False
        try:
            async with self._client.stream("GET", url, headers=headers, follow_redirects=True) as answer:
                if not answer.is_success:
                    raise _refusal(url, answer.status_code)
                answered = True
                async for chunk in answer.aiter_raw():
                    if chunk:
                        return True
        except NotFound:
            return False
        except httpx.HTTPError as lost:
            if not answered:
                raise Unavailable(f"registry {self._base}: {str(lost) or type(lost).__name__}") from lost
        return False

    async def fetch(self, name: str, digest: str, into: Path) -> None:
        """A blob of any size, written to a file, its digest checked."""
        await self.blob_size(name, digest)  # a token, where the registry wants one
        headers = {"Authorization": token} if (token := self._tokens.get((name, False))) else {}
        found = hashlib.sha256()
        url = f"{self._base}/{name}/blobs/{digest}"
        try:
            async with self._client.stream("GET", url, headers=headers, follow_redirects=True) as answer:
                if not answer.is_success:
                    raise _refusal(url, answer.status_code)
                with into.open("wb") as file:
                    async for chunk in answer.aiter_raw():
                        found.update(chunk)
                        file.write(chunk)
        except httpx.HTTPError as lost:
            raise Unavailable(f"registry {self._base}: {str(lost) or type(lost).__name__}") from lost
        if found.hexdigest() != digest.removeprefix("sha256:"):
            raise Unavailable(f"{name}: the blob {digest} arrived as sha256:{found.hexdigest()}")

    async def push_blob(self, name: str, content: bytes) -> str:
        """Returns the digest; a blob that is there already is not sent again."""
        digest = digest_of(content)
        if await self.blob_size(name, digest) is not None:
            return digest
        begun = await self._ask("POST", name, "blobs/uploads/")
        where = begun.url.join(begun.headers["location"]).copy_merge_params({"digest": digest})
        await self._ask("PUT", name, str(where), content, "application/octet-stream")
        return digest

    async def push_manifest(
        self, name: str, reference: str, content: bytes, media_type: str
    ) -> httpx.Headers:
        """Under a tag or its own digest; returns what the registry says about it."""
        return (await self._ask("PUT", name, f"manifests/{reference}", content, media_type)).headers

    async def find(self, name: str, path: str) -> bytes | None:
        """A document that may be absent, such as `referrers/DIGEST` or `manifests/TAG`."""
        try:
            return (await self._ask("GET", name, path)).content
        except NotFound:
            return None

    async def _ask(
        self, method: str, name: str, path: str, content: bytes | None = None, media_type: str = ""
    ) -> httpx.Response:
        answer = await self._send(method, name, path, content, media_type)
        if answer.status_code == 401 and "www-authenticate" in answer.headers:
            self._tokens[name, method in _WRITES] = await self._token(
                answer.headers["www-authenticate"], name
            )
            answer = await self._send(method, name, path, content, media_type)
        if answer.is_success:
            return answer
        raise _refusal(f"{self._base}/{name}/{path}", answer.status_code)

    async def _send(
        self, method: str, name: str, path: str, content: bytes | None, media_type: str
    ) -> httpx.Response:
        headers = {"Accept": _ACCEPT} if path.startswith(("manifests/", "referrers/")) else {}
        if media_type:
            headers["Content-Type"] = media_type
        if token := self._tokens.get((name, method in _WRITES)):
            headers["Authorization"] = token
        try:
            url = path if path.startswith("http") else f"{self._base}/{name}/{path}"
            return await self._client.request(
                method, url, headers=headers, content=content, follow_redirects=True
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


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _refusal(url: str, status: int) -> OpsError:
    text = f"registry {url}: HTTP {status}"
    if status == 404:
        return NotFound(text)
    if status == 429 or status >= 500:
        return Unavailable(text)
    return Refused(f"{text}; check PLATFORM_OPS_REGISTRY_USER and PLATFORM_OPS_REGISTRY_PASSWORD")
