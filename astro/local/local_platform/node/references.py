"""Image references: `[host[:port]/]name[:tag][@digest]`, read as container runtimes read them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"[\w][\w.-]{0,127}")


class InvalidReferenceError(ValueError):
    """The text is no image reference. The kubelet calls this InvalidImageName."""


@dataclass(frozen=True)
class Reference:
    """Where an image is: a registry, a repository, and a tag or a digest (or both; the digest wins)."""

    host: str
    name: str
    tag: str = ""
    digest: str = ""

    @property
    def target(self) -> str:
        """What to ask the registry for."""
        return self.digest or self.tag

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.name}"

    def __str__(self) -> str:
        return (
            self.repository
            + (f":{self.tag}" if self.tag else "")
            + (f"@{self.digest}" if self.digest else "")
        )


def parse_reference(text: str) -> Reference:
    """Read a reference; without a host it is Docker Hub's, without tag and digest `latest`.

    Raises:
        InvalidReferenceError: with the part that is wrong.
    """
    rest, _, digest = text.partition("@")
    if digest and not _DIGEST.fullmatch(digest):
        raise InvalidReferenceError(f'couldn\'t parse image name "{text}": invalid checksum digest format')
    host, slash, path = rest.partition("/")
    if not slash or not (set(".:") & set(host) or host == "localhost"):
        host, path = "docker.io", rest if slash else f"library/{rest}"
    name, colon, tag = path.partition(":")
    if not _NAME.fullmatch(name) or (colon and not _TAG.fullmatch(tag)):
        raise InvalidReferenceError(f'couldn\'t parse image name "{text}": invalid reference format')
    return Reference(host, name, tag or ("" if digest else "latest"), digest)
