"""What is read of a service's repository."""

from __future__ import annotations

import asyncio
import tomllib
from datetime import datetime
from pathlib import Path

from platform_ops.core.errors import NotFound, Refused
from platform_ops.core.source import Commit

from .history import log, span
from .mirrors import Mirrors
from .signatures import GitSignatures
from .trees import entry, write_tree

_BUNDLED = "refs/heads/platform-ops/"


class GitRepositories:
    """The `SourceRepository` port. `service_address` is the service identity's; it writes nothing itself."""

    def __init__(self, mirrors: Mirrors, signatures: GitSignatures, service_address: str) -> None:
        self._mirrors = mirrors
        self._signatures = signatures
        self._service_address = service_address.lower()
        self._git = mirrors.git

    async def head(self, service: str, branch: str) -> str:
        url = self._mirrors.url(service)
        listed = await self._git("ls-remote", "--heads", url, f"refs/heads/{branch}")
        if not listed:
            everything = (await self._git("ls-remote", "--heads", url)).decode()
            names = [line.split("refs/heads/")[1] for line in everything.splitlines()]
            raise NotFound(f"{service} has no branch {branch!r}; it has {', '.join(names[:20]) or 'none'}")
        return listed.split()[0].decode()

    async def version_at(self, service: str, commit: str) -> str:
        async with self._mirrors.at(service, commit) as mirror:
            try:
                text = await self._mirrors.read(mirror, "show", f"{commit}:pyproject.toml")
                version = tomllib.loads(text)["project"]["version"]
            except (Refused, KeyError, ValueError) as missing:
                raise Refused(
                    f"{service} {commit[:8]}: pyproject.toml states no project.version ({missing}); add one"
                ) from missing
        return str(version)

    async def committed_at(self, service: str, commit: str) -> datetime:
        async with self._mirrors.at(service, commit) as mirror:
            (one,) = await log(self._mirrors, mirror, "--max-count=1", commit)
        return one.at

    async def authors(self, service: str, commit: str, since: str | None) -> frozenset[str]:
        async with self._mirrors.at(service, commit) as mirror:
            asked = ("--max-count=1", commit) if since is None else span(commit, since)
            commits = await log(self._mirrors, mirror, *asked)
            own = await self._signatures.made_by(mirror, commits, self._service_address)
        written = [one for one in commits if one.id not in own]
        return frozenset(address for one in written for address in (one.author, one.committer) if address)

    async def history(self, service: str, commit: str, since: str | None) -> tuple[Commit, ...]:
        async with self._mirrors.at(service, commit) as mirror:
            return await log(self._mirrors, mirror, *span(commit, since))

    async def is_ancestor(self, service: str, ancestor: str, commit: str) -> bool:
        async with self._mirrors.at(service, commit) as mirror:
            return await self._mirrors.leads_to(mirror, ancestor, commit)

    async def tree_of(self, service: str, commit: str) -> str:
        async with self._mirrors.at(service, commit) as mirror:
            found = await self._git("-C", str(mirror), "rev-parse", "--verify", f"{commit}^{{tree}}")
        return found.decode().strip()

    async def checkout(self, service: str, commit: str, into: Path) -> None:
        async with self._mirrors.at(service, commit) as mirror:
            listed = await self._git("-C", str(mirror), "ls-tree", "-r", "-z", commit)
            entries = [entry(line) for line in listed.decode(errors="surrogateescape").split("\0") if line]
            asked = "".join(f"{one.blob}\n" for one in entries).encode()
            blobs = await self._git("-C", str(mirror), "cat-file", "--batch", given=asked)
        await asyncio.to_thread(write_tree, entries, blobs, into)

    async def bundle(self, service: str, commit: str, into: Path) -> None:
        async with self._mirrors.at(service, commit) as mirror:
            name = f"{_BUNDLED}{commit}"
            await self._git("-C", str(mirror), "update-ref", name, commit)
            await self._git("-C", str(mirror), "bundle", "create", "--quiet", str(into), name)
