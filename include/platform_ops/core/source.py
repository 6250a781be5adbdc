"""What git holds, as the decisions see it: commits, version tags, where a branch stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .versions import Version


@dataclass(frozen=True)
class Commit:
    """One commit as it is stored. Addresses are in small letters."""

    id: str
    parents: tuple[str, ...]
    author_name: str
    author: str
    committer: str
    at: datetime
    """When it was committed, as the committer's machine said."""
    message: str

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0].strip()

    def in_words(self) -> str:
        return f"{self.id[:8]} ({self.committer}: {self.subject[:60]!r})"


@dataclass(frozen=True)
class SignedCommit:
    """A commit and what the check of its signature gave."""

    commit: Commit
    status: str
    """git's `%G?`: G good, U good by a key that nobody has or had then, B bad, N none; others: unknown."""
    fingerprint: str
    """`SHA256:…` of the key; empty without one."""


@dataclass(frozen=True)
class VersionTag:
    """A version that was given: an annotated tag, signed by a key that is listed."""

    version: Version
    commit: str


@dataclass(frozen=True)
class NewTag:
    name: str
    message: str


@dataclass(frozen=True)
class ReleaseCommit:
    """A commit on the branch of what is live, made and signed by the service identity."""

    id: str
    released: str
    """The commit that was built: its last parent, whose tree it has."""


@dataclass(frozen=True)
class BranchState:
    """Where a branch stands, seen from a commit that is to get there."""

    branch: str
    head: str | None
    """None: there is no such branch."""
    leads_here: bool = False
    """The head is the commit or one of its ancestors."""
    holds: bool = False
    """The commit is the head or one of its ancestors."""
    last: ReleaseCommit | None = None
    """The newest release commit in the branch."""
    last_holds: bool = False
    """`last` has the commit among its ancestors."""
    follows_last: bool = False
    """What `last` released is the commit or one of its ancestors; also True without a `last`."""
    strangers: tuple[Commit, ...] = ()
    """Commits of the branch since `last` that the commit does not have, newest first."""


class Branches(Protocol):
    """The branches that platform-ops moves (adapters.git). Nothing is ever forced."""

    async def state(self, service: str, branch: str, commit: str) -> BranchState: ...

    async def fast_forward(self, service: str, branch: str, commit: str, *, expected: str | None) -> None:
        """`Conflict` when the branch is no longer at `expected` and cannot be fast-forwarded."""

    async def merge(
        self,
        service: str,
        branch: str,
        commit: str,
        message: str,
        *,
        expected: str | None,
        tag: NewTag | None = None,
        combine: bool = False,
    ) -> str:
        """Push a signed merge of `commit` onto `expected`, and `tag` with it or neither; returns its id.

        Its tree is the commit's, or with `combine` the two trees merged (`Refused` names the files that
        conflict). `Conflict` when the branch is no longer at `expected`.
        """

    async def versions(self, service: str, branch: str) -> Sequence[VersionTag]:
        """Of the branch, highest first; tags that nobody listed has signed do not count."""
