"""Fakes of the ports that reach outside of the rollout: chat, images, git, object store.

They obey the rules that `tests/adapters` shows of the real ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from platform_ops.core.errors import NotFound, Refused, Unavailable
from platform_ops.core.ports import ImageFacts
from platform_ops.core.source import Commit

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryChat:
    """A chat with channels. `away` is what somebody who pulls the plug does."""

    def __init__(self, *channels: str) -> None:
        self.messages: dict[str, list[tuple[str, str]]] = {channel: [] for channel in channels}
        self.away = False

    async def find(self, channel: str, page_id: str) -> str | None:
        posted = self._channel(channel)
        return next((str(number) for number, (page, _) in enumerate(posted) if page == page_id), None)

    async def post(self, channel: str, page_id: str, text: str, blocks: Sequence[Mapping[str, Any]]) -> str:
        posted = self._channel(channel)
        posted.append((page_id, text))
        return str(len(posted) - 1)

    def _channel(self, channel: str) -> list[tuple[str, str]]:
        if self.away:
            raise Unavailable("the chat does not answer")
        if channel not in self.messages:
            raise Refused(f"{channel}: channel_not_found; create the channel")
        return self.messages[channel]


class MemoryAirflow:
    """Runs by DAG. `away` is an Airflow that does not answer."""

    def __init__(self, *dags: str) -> None:
        self.runs: dict[str, list[str]] = {dag_id: [] for dag_id in dags}
        self.away = False

    async def start(self, dag_id: str, run_id: str) -> None:
        if self.away:
            raise Unavailable("Airflow does not answer")
        if dag_id not in self.runs:
            raise NotFound(f"no DAG {dag_id}")
        if run_id not in self.runs[dag_id]:
            self.runs[dag_id].append(run_id)


@dataclass
class MemoryImages:
    """A registry whose builder makes one image of a tree: the digest of its files and labels."""

    registry: str = "registry.example.com"
    stored: dict[str, ImageFacts] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)

    async def find(self, service: str, tag: str) -> str | None:
        return self.tags.get((service, tag))

    async def inspect(self, service: str, digest: str) -> ImageFacts:
        if digest not in self.stored:
            raise Refused(f"{self.reference(service, digest)} is not in the registry")
        return self.stored[digest]

    async def build(self, service: str, source: Path, tag: str, labels: Mapping[str, str]) -> str:
        content = _content(source)
        digest = "sha256:" + hashlib.sha256(content + repr(sorted(labels.items())).encode()).hexdigest()
        self.stored[digest] = ImageFacts(digest, len(content), dict(labels), "10001")
        self.tags[service, tag] = digest
        return digest

    async def bill_of_materials(self, service: str, digest: str, created: datetime) -> bytes:
        facts = await self.inspect(service, digest)
        return json.dumps({"version": digest, "labels": dict(facts.labels), "at": str(created)}).encode()

    def reference(self, service: str, digest: str) -> str:
        return f"{self.registry}/{service}@{digest}"


@dataclass(frozen=True)
class FakeCommit:
    id: str
    author: str
    files: Mapping[str, str]
    message: str = "change"


class MemoryRepository:
    """Branches as lists of commits, oldest first."""

    def __init__(self, branches: Mapping[str, Sequence[FakeCommit]]) -> None:
        self.branches = {name: list(commits) for name, commits in branches.items()}

    async def head(self, service: str, branch: str) -> str:
        if branch not in self.branches:
            raise NotFound(f"{service} has no branch {branch!r}; it has {', '.join(self.branches)}")
        return self.branches[branch][-1].id

    async def version_at(self, service: str, commit: str) -> str:
        version = self._find(commit)[-1].files.get("version")
        if version is None:
            raise Refused(f"{service} {commit[:8]}: pyproject.toml states no project.version")
        return version

    async def committed_at(self, service: str, commit: str) -> datetime:
        self._find(commit)
        return _BEGINNING

    async def authors(self, service: str, commit: str, since: str | None) -> frozenset[str]:
        history = self._find(commit)
        start = len(history) - 1 if since is None else [one.id for one in history].index(since) + 1
        return frozenset(one.author for one in history[start:])

    async def history(self, service: str, commit: str, since: str | None) -> Sequence[Commit]:
        known = {one.id for one in self._find(since)} if since else set()
        line = self._find(commit)
        parents = {one.id: (before.id,) for before, one in pairwise(line)}
        return [
            Commit(
                one.id, parents.get(one.id, ()), one.author, one.author, one.author, _BEGINNING, one.message
            )
            for one in reversed(line)
            if one.id not in known
        ]

    async def is_ancestor(self, service: str, ancestor: str, commit: str) -> bool:
        return ancestor in {one.id for one in self._find(commit)}

    async def tree_of(self, service: str, commit: str) -> str:
        return hashlib.sha256(repr(sorted(self._find(commit)[-1].files.items())).encode()).hexdigest()

    async def checkout(self, service: str, commit: str, into: Path) -> None:
        _write(into, self._find(commit)[-1].files)

    async def bundle(self, service: str, commit: str, into: Path) -> None:
        _write(into.parent, {into.name: "\n".join(one.id for one in self._find(commit))})

    def _find(self, commit: str) -> list[FakeCommit]:
        for commits in self.branches.values():
            for number, one in enumerate(commits):
                if one.id == commit:
                    return commits[: number + 1]
        raise NotFound(f"no commit {commit}; was it pushed?")


@dataclass
class MemoryObjects:
    """An object store whose links name what they would give and for how long."""

    stored: dict[str, bytes] = field(default_factory=dict)

    async def put(self, key: str, path: Path) -> None:
        self.stored[key] = _content(path)

    async def presigned_get(self, key: str, expires: timedelta) -> str:
        return f"https://objects.example.com/{key}?expires={expires.total_seconds():.0f}"


def _content(source: Path) -> bytes:
    """A file's bytes; of a folder those of all its files, with their names."""
    if source.is_file():
        return source.read_bytes()
    files = sorted(path for path in source.rglob("*") if path.is_file())
    return b"".join(f"{path.relative_to(source)}\0".encode() + path.read_bytes() for path in files)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
