"""Bare mirrors of the services' repositories below the state folder, one process at a time in each."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from platform_ops.core.errors import NotFound, PermanentError

from .command import Git, checked


class Mirrors:
    """`urls` maps a service to its repository; mirrors live in `state/git`."""

    def __init__(self, urls: Mapping[str, str], state: Path, git: Git | None = None) -> None:
        self.git = git or Git()
        self._urls = urls
        self._folder = state.resolve() / "git"

    def url(self, service: str) -> str:
        if service not in self._urls:
            raise NotFound(f"no repository for {service!r} in the catalog; it has {', '.join(self._urls)}")
        return self._urls[service]

    @asynccontextmanager
    async def at(self, service: str, commit: str) -> AsyncIterator[Path]:
        """The mirror, locked against other processes, with the commit in it."""
        async with self._locked(service) as mirror:
            if not await self.holds(mirror, checked(commit)):
                await self._fetch(service, mirror)
                await self._require(service, mirror, commit)
            yield mirror

    @asynccontextmanager
    async def fresh(self, service: str, commit: str) -> AsyncIterator[Path]:
        """The same, with all branches and tags as the repository has them now."""
        async with self.fresh_any(service) as mirror:
            await self._require(service, mirror, checked(commit))
            yield mirror

    @asynccontextmanager
    async def fresh_any(self, service: str) -> AsyncIterator[Path]:
        """The same, whatever commits there are."""
        async with self._locked(service) as mirror:
            await self._fetch(service, mirror)
            yield mirror

    async def holds(self, mirror: Path, commit: str) -> bool:
        return await self._succeeds(mirror, "cat-file", "-e", f"{commit}^{{commit}}")

    async def leads_to(self, mirror: Path, ancestor: str, commit: str) -> bool:
        """Whether `commit` is `ancestor` or came of it; the mirror has `commit`."""
        # Whoever holds a commit holds its ancestors: one that is missing was rewritten away.
        if not await self.holds(mirror, checked(ancestor)):
            return False
        return not await self.read(mirror, "rev-list", "--max-count=1", ancestor, "--not", commit)

    async def head(self, mirror: Path, branch: str) -> str | None:
        """Of a branch, as it was when the mirror was fetched."""
        listed = await self.read(mirror, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return listed.strip() or None

    async def read(self, mirror: Path, *arguments: str) -> str:
        return (await self.git("-C", str(mirror), *arguments)).decode(errors="replace")

    @asynccontextmanager
    async def _locked(self, service: str) -> AsyncIterator[Path]:
        mirror = self._folder / f"{service}.git"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with _lock(self._folder / f"{service}.lock"):
            if not (mirror / "HEAD").exists():
                await self.git("init", "--quiet", "--bare", str(mirror))
            yield mirror

    async def _fetch(self, service: str, mirror: Path) -> None:
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        await self.git(
            "-C", str(mirror), "fetch", "--quiet", "--prune", "--no-tags", self.url(service), *refs
        )

    async def _require(self, service: str, mirror: Path, commit: str) -> None:
        if not await self.holds(mirror, commit):
            raise NotFound(f"{service} has no commit {commit}; was it pushed?")

    async def _succeeds(self, mirror: Path, *arguments: str) -> bool:
        try:
            await self.git("-C", str(mirror), *arguments)
        except PermanentError:
            return False
        return True


@asynccontextmanager
async def _lock(path: Path) -> AsyncIterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        while not _taken(descriptor):
            await asyncio.sleep(0.2)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
