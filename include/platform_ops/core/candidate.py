"""Which release a promotion takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import GateClosed
from .release import Release, release_name

_NAMED = 10


@dataclass(frozen=True)
class Candidate:
    """What a promotion would be about."""

    service: str
    version: str
    commit: str
    digest: str | None
    """None: no image was built of the commit yet."""

    @property
    def name(self) -> str:
        return release_name(self.version, self.commit)

    @property
    def release(self) -> Release | None:
        return Release(self.service, self.version, self.commit, self.digest) if self.digest else None


def take(verified: Sequence[Release], wanted: str, *, service: str, environment: str, before: str) -> Release:
    """The release that `wanted` names (name or digest); empty: the newest one.

    `verified` are those of the environment `before`, newest first. GateClosed lists what may be taken.
    """
    for release in verified:
        if not wanted or wanted in (release.name, release.digest):
            return release
    if not verified:
        raise GateClosed(f"{before} has not verified any release of {service} yet: promote one there first.")
    names = ", ".join(release.name for release in verified[:_NAMED])
    raise GateClosed(f"{wanted!r} is not verified in {before}. {environment} would take: {names}.")
