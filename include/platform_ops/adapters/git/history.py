"""Commits as git logs them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from platform_ops.core.errors import Refused
from platform_ops.core.source import Commit

from .command import checked
from .mirrors import Mirrors

FIELDS = ("%H", "%P", "%an", "%ae", "%ce", "%ct", "%B")
_FORMAT = "%x00".join(FIELDS) + "%x00"


async def log(mirrors: Mirrors, mirror: Path, *span: str) -> tuple[Commit, ...]:
    """The commits of a span of ids, newest first, each after its children."""
    options = ("log", "--no-show-signature", "--topo-order", f"--format=format:{_FORMAT}")
    printed = await mirrors.read(mirror, *options, *span, "--")
    fields = printed.split("\0")[:-1]
    if len(fields) % len(FIELDS):
        raise Refused("git log gave commits that cannot be told apart; does one hold a NUL character?")
    rows = [fields[start : start + len(FIELDS)] for start in range(0, len(fields), len(FIELDS))]
    return tuple(_commit(row) for row in rows)


def span(commit: str, since: str | None) -> tuple[str, ...]:
    """`since..commit`, or everything that leads to `commit`."""
    return (checked(commit),) if since is None else (checked(commit), f"^{checked(since)}")


def _commit(row: list[str]) -> Commit:
    commit, parents, name, author, committer, seconds, message = row
    return Commit(
        id=checked(commit.strip()),
        parents=tuple(parents.split()),
        author_name=name,
        author=author.lower(),
        committer=committer.lower(),
        at=datetime.fromtimestamp(int(seconds or 0), UTC),
        message=message,
    )
