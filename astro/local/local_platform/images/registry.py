"""Pushes images over the OCI distribution API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

from local_platform.images.errors import BuildError
from local_platform.images.oci import MANIFEST, Image, digest_of

_REPOSITORY = re.compile(
    r"^(?P<host>[a-zA-Z0-9.-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?)/"
    r"(?P<name>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)$"
)
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")


@dataclass(frozen=True)
class Repository:
    """Where an image goes: `host[:port]/name`."""

    host: str
    name: str
    plain_http: bool = False

    @classmethod
    def parse(cls, text: str, *, plain_http: bool) -> Repository:
        """Raises `BuildError` for what is no repository."""
        match = _REPOSITORY.match(text)
        if match is None:
            raise BuildError(f"{text!r} is no repository: HOST[:PORT]/NAME in lower case is needed")
        return cls(match["host"], match["name"], plain_http)

    @property
    def base(self) -> str:
        """The address that all requests begin with."""
        return f"{'http' if self.plain_http else 'https'}://{self.host}/v2/{self.name}/"

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"


def push(image: Image, repository: Repository, tag: str) -> None:
    """Uploads the blobs that the registry lacks, then the manifest under `tag`; raises `BuildError`."""
    if not _TAG.match(tag):
        raise BuildError(f"{tag!r} is no tag: letters, digits, '_', '.' and '-' are allowed, 128 at most")
    try:
        with httpx.Client(timeout=60, follow_redirects=True) as client:
            for layer in image.layers:
                _push_blob(client, repository, layer.digest, layer.size, layer.path)
            _push_blob(client, repository, digest_of(image.config), len(image.config), image.config)
            _push_manifest(client, repository, tag, image)
    except httpx.TransportError as error:
        raise BuildError(f"the registry {repository.host} does not answer: {error}") from None


def _push_blob(
    client: httpx.Client, repository: Repository, digest: str, size: int, content: bytes | Path
) -> None:
    if client.head(f"{repository.base}blobs/{digest}").status_code == 200:
        return
    begun = _expect(client.post(f"{repository.base}blobs/uploads/"), 202, "begin an upload")
    where = urljoin(str(begun.url), begun.headers["location"])
    where += ("&" if urlsplit(where).query else "?") + urlencode({"digest": digest})
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    done = client.put(where, content=_blocks(content), headers=headers)
    _expect(done, 201, f"upload the blob {digest}")


def _blocks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


def _push_manifest(client: httpx.Client, repository: Repository, tag: str, image: Image) -> None:
    answer = client.put(
        f"{repository.base}manifests/{tag}", content=image.manifest, headers={"Content-Type": MANIFEST}
    )
    _expect(answer, 201, f"store the manifest as {tag}")
    stored = answer.headers.get("docker-content-digest", image.digest)
    if stored != image.digest:
        raise BuildError(f"{repository}: the registry stored {stored} instead of {image.digest}")


def _expect(answer: httpx.Response, status: int, what: str) -> httpx.Response:
    if answer.status_code == status:
        return answer
    hint = " (push there with docker buildx: this builder has no credentials)"
    raise BuildError(
        f"{urlsplit(str(answer.url)).netloc} refused to {what}: "
        f"{answer.status_code} {answer.text[:300]}{hint}"
    )
