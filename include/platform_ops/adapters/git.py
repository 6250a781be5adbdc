"""The services' git repositories through the git command, with none of a tree's own configuration in force.

By attributes, filters, hooks and fsmonitor (https://git-scm.com/docs/gitattributes) a repository runs code on
the machine that reads it: our mirrors have none of them, and a tree is written out blob by blob.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from platform_ops.core.errors import NotFound, PermanentError, Refused, Unavailable

_SAFE = (
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "protocol.ext.allow=never",
    "-c", "transfer.fsckObjects=true",
    "-c", "gc.auto=0",
)  # fmt: skip
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_BUNDLED = "refs/heads/platform-ops/"
_NOT_OURS = re.compile(
    r"not found|does not exist|does not appear to be a git repository|denied|Authentication", re.I
)


@dataclass(frozen=True)
class _Entry:
    mode: str
    blob: str
    path: PurePosixPath


class GitRepositories:
    """The `SourceRepository` port. `urls` maps a service to its repository; mirrors live in `state/git`."""

    def __init__(
        self, urls: Mapping[str, str], state: Path, *, timeout: timedelta = timedelta(minutes=2)
    ) -> None:
        self._urls = urls
        self._mirrors = state.resolve() / "git"
        self._timeout = timeout

    async def head(self, service: str, branch: str) -> str:
        listed = await self._git("ls-remote", "--heads", self._url(service), f"refs/heads/{branch}")
        if not listed:
            everything = (await self._git("ls-remote", "--heads", self._url(service))).decode()
            names = [line.split("refs/heads/")[1] for line in everything.splitlines()]
            raise NotFound(f"{service} has no branch {branch!r}; it has {', '.join(names[:20]) or 'none'}")
        return listed.split()[0].decode()

    async def version_at(self, service: str, commit: str) -> str:
        async with self._mirror(service, commit) as mirror:
            try:
                text = await self._git("-C", str(mirror), "show", f"{commit}:pyproject.toml")
                version = tomllib.loads(text.decode())["project"]["version"]
            except (Refused, KeyError, ValueError) as missing:
                raise Refused(
                    f"{service} {commit[:8]}: pyproject.toml states no project.version ({missing}); add one"
                ) from missing
        return str(version)

    async def committed_at(self, service: str, commit: str) -> datetime:
        async with self._mirror(service, commit) as mirror:
            listed = await self._git("-C", str(mirror), "log", "-1", "--format=%ct", commit)
        return datetime.fromtimestamp(int(listed), UTC)

    async def authors(self, service: str, commit: str, since: str | None) -> frozenset[str]:
        async with self._mirror(service, commit) as mirror:
            span = ["-1", commit] if since is None else [f"{_checked(since)}..{commit}"]
            listed = await self._git("-C", str(mirror), "log", "--format=%ae%n%ce", *span)
        return frozenset(line.lower() for line in listed.decode().splitlines() if line)

    async def is_ancestor(self, service: str, ancestor: str, commit: str) -> bool:
        async with self._mirror(service, commit) as mirror:
            # Whoever holds a commit holds its ancestors: one that is missing was rewritten away.
            if not await self._holds(mirror, _checked(ancestor)):
                return False
            beside = await self._git(
                "-C", str(mirror), "rev-list", "--max-count=1", ancestor, "--not", commit
            )
        return not beside

    async def checkout(self, service: str, commit: str, into: Path) -> None:
        async with self._mirror(service, commit) as mirror:
            listed = await self._git("-C", str(mirror), "ls-tree", "-r", "-z", commit)
            entries = [_entry(line) for line in listed.decode(errors="surrogateescape").split("\0") if line]
            asked = "".join(f"{entry.blob}\n" for entry in entries).encode()
            blobs = await self._git("-C", str(mirror), "cat-file", "--batch", given=asked)
        await asyncio.to_thread(_write_tree, entries, blobs, into)

    async def bundle(self, service: str, commit: str, into: Path) -> None:
        async with self._mirror(service, commit) as mirror:
            name = f"{_BUNDLED}{commit}"
            await self._git("-C", str(mirror), "update-ref", name, commit)
            await self._git("-C", str(mirror), "bundle", "create", "--quiet", str(into), name)

    @asynccontextmanager
    async def _mirror(self, service: str, commit: str) -> AsyncIterator[Path]:
        """The mirror, locked against other processes, with the commit in it."""
        mirror = self._mirrors / f"{service}.git"
        self._mirrors.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with _locked(self._mirrors / f"{service}.lock"):
            if not (mirror / "HEAD").exists():
                await self._git("init", "--quiet", "--bare", str(mirror))
            if not await self._holds(mirror, _checked(commit)):
                await self._fetch(service, mirror)
                if not await self._holds(mirror, commit):
                    raise NotFound(f"{service} has no commit {commit}; was it pushed?")
            yield mirror

    async def _fetch(self, service: str, mirror: Path) -> None:
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        await self._git(
            "-C", str(mirror), "fetch", "--quiet", "--prune", "--no-tags", self._url(service), *refs
        )

    async def _holds(self, mirror: Path, commit: str) -> bool:
        try:
            await self._git("-C", str(mirror), "cat-file", "-e", f"{commit}^{{commit}}")
        except PermanentError:
            return False
        return True

    def _url(self, service: str) -> str:
        if service not in self._urls:
            raise NotFound(f"no repository for {service!r} in the catalog; it has {', '.join(self._urls)}")
        return self._urls[service]

    async def _git(self, *arguments: str, given: bytes | None = None) -> bytes:
        process = await asyncio.create_subprocess_exec(
            "git", *_SAFE, *arguments,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                out, said = await process.communicate(given)
        except TimeoutError:
            raise Unavailable(f"git {arguments[0]} took longer than {self._timeout}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            _raise(arguments, said.decode(errors="replace").strip())
        return out


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
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


def _raise(arguments: tuple[str, ...], said: str) -> None:
    verb = next(word for word in arguments if not word.startswith("-") and "/" not in word)
    lines = said.splitlines() or ["failed without a word"]
    text = f"git {verb}: {next((line for line in lines if line.startswith('fatal:')), lines[-1])}"
    if verb in ("fetch", "ls-remote") and not _NOT_OURS.search(said):
        raise Unavailable(text)
    raise Refused(text)


def _checked(commit: str) -> str:
    if not _COMMIT.match(commit):
        raise Refused(f"{commit!r} is no full commit id of 40 hex digits")
    return commit


def _entry(line: str) -> _Entry:
    about, path = line.split("\t", 1)
    mode, _, blob = about.split()
    pure = PurePosixPath(path)
    if mode == "160000":
        raise Refused(f"{path} is a submodule; the source must be whole in its own repository")
    if pure.is_absolute() or {"..", ".git"} & {part.lower() for part in pure.parts}:
        raise Refused(f"{path!r} would be written outside of the tree")
    return _Entry(mode, blob, pure)


def _write_tree(entries: list[_Entry], blobs: bytes, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    position = 0
    for entry in entries:
        header_end = blobs.index(b"\n", position)
        size = int(blobs[position:header_end].split()[2])
        content = blobs[header_end + 1 : header_end + 1 + size]
        position = header_end + size + 2
        target = into / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.mode == "120000":
            _link(target, content.decode(), into)
        else:
            target.write_bytes(content)
            target.chmod(0o755 if entry.mode == "100755" else 0o644)


def _link(target: Path, to: str, root: Path) -> None:
    resolved = Path(os.path.normpath(target.parent / to))
    if Path(to).is_absolute() or not resolved.is_relative_to(root):
        raise Refused(f"{target.relative_to(root)} links to {to}, outside of the tree")
    target.symlink_to(to)
