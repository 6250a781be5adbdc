"""Branches and tags that platform-ops moves, as its own identity. A push fast-forwards or is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from platform_ops.core.errors import Conflict, PermanentError, Refused
from platform_ops.core.source import BranchState, Commit, NewTag, ReleaseCommit, VersionTag
from platform_ops.core.versions import parse_version

from .command import checked
from .history import log
from .mirrors import Mirrors
from .signatures import GitSignatures, ssh_keygen

_LOST_THE_RACE = re.compile(
    r"fetch first|non-fast-forward|stale info|cannot lock ref|failed to update ref|already exists"
)
_STRANGERS = 20
"""Commits that a state lists; the first one is enough to refuse."""
_WALKED = 1000
"""First parents that are looked at for the newest release commit."""


@dataclass(frozen=True)
class Identity:
    """Who commits, and the private key that signs it."""

    name: str
    address: str
    key: Path | None
    """None: this process has none; it can look and fast-forward, not merge."""


class GitBranches:
    """The `Branches` port."""

    def __init__(self, mirrors: Mirrors, signatures: GitSignatures, identity: Identity) -> None:
        self._mirrors = mirrors
        self._signatures = signatures
        self._identity = identity

    async def state(self, service: str, branch: str, commit: str) -> BranchState:
        async with self._mirrors.fresh(service, commit) as mirror:
            head = await self._mirrors.head(mirror, branch)
            if head is None:
                return BranchState(branch, None)
            last = await self._last_release(mirror, head)
            return BranchState(
                branch=branch,
                head=head,
                leads_here=await self._mirrors.leads_to(mirror, head, commit),
                holds=await self._mirrors.leads_to(mirror, commit, head),
                last=last,
                last_holds=last is not None and await self._mirrors.leads_to(mirror, commit, last.id),
                follows_last=last is None or await self._mirrors.leads_to(mirror, last.released, commit),
                strangers=await self._strangers(mirror, head, commit, last),
            )

    async def fast_forward(self, service: str, branch: str, commit: str, *, expected: str | None) -> None:
        async with self._mirrors.fresh(service, commit) as mirror:
            await self._require_head(mirror, branch, expected)
            await self._push(service, mirror, f"{checked(commit)}:refs/heads/{branch}")

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
        async with self._mirrors.fresh(service, commit) as mirror:
            await self._require_head(mirror, branch, expected)
            parents = [commit] if expected in (None, commit) else [str(expected), commit]
            tree = await self._combined(mirror, parents) if combine else f"{checked(commit)}^{{tree}}"
            merged = await self._commit(mirror, tree, parents, message)
            refs = [f"{merged}:refs/heads/{branch}"]
            if tag is not None:
                refs.append(f"{await self._tag(mirror, merged, tag)}:refs/tags/{tag.name}")
            await self._push(service, mirror, *refs)
        return merged

    async def versions(self, service: str, branch: str) -> Sequence[VersionTag]:
        async with self._mirrors.fresh_any(service) as mirror:
            head = await self._mirrors.head(mirror, branch)
            if head is None:
                return ()
            listed = await self._mirrors.read(
                mirror,
                *("for-each-ref", "--merged", head, "refs/tags/v*"),
                "--format=%(refname:strip=2) %(objecttype) %(tag) %(*objectname)",
            )
            rows = [line.split(" ") for line in listed.splitlines()]
            # A signed tag that was pushed again under another name says its own name inside.
            tags = [(parse_version(row[0]), row) for row in rows if row[1] == "tag" and row[0] == row[2]]
            found = [
                VersionTag(version, row[3])
                for version, row in tags
                if version is not None and await self._signatures.is_signed_tag(mirror, row[0])
            ]
        return sorted(found, key=lambda one: one.version, reverse=True)

    async def _last_release(self, mirror: Path, head: str) -> ReleaseCommit | None:
        """The newest first parent that we made, whose tree is that of what it released."""
        address = self._identity.address
        line = await log(self._mirrors, mirror, "--first-parent", f"--max-count={_WALKED}", head)
        for one in line:
            if one.committer != address or not one.parents:
                continue
            if await self._signatures.made_by(mirror, [one], address) and await self._same_tree(mirror, one):
                return ReleaseCommit(one.id, one.parents[-1])
        return None

    async def _same_tree(self, mirror: Path, commit: Commit) -> bool:
        names = [f"{commit.id}^{{tree}}", f"{commit.parents[-1]}^{{tree}}"]
        first, second = (await self._mirrors.read(mirror, "rev-parse", *names)).split()
        return first == second

    async def _strangers(
        self, mirror: Path, head: str, commit: str, last: ReleaseCommit | None
    ) -> tuple[Commit, ...]:
        known = [f"^{commit}", *([f"^{last.id}"] if last else [])]
        return await log(self._mirrors, mirror, f"--max-count={_STRANGERS}", head, *known)

    async def _require_head(self, mirror: Path, branch: str, expected: str | None) -> None:
        head = await self._mirrors.head(mirror, branch)
        if head != expected:
            raise Conflict(
                f"{branch} moved from {_short(expected)} to {_short(head)} meanwhile; looking again"
            )

    async def _combined(self, mirror: Path, parents: Sequence[str]) -> str:
        """The tree of both sides, merged as `git merge` does."""
        try:
            printed = await self._mirrors.read(mirror, "merge-tree", "--write-tree", "--name-only", *parents)
        except Refused as conflict:
            short = " and ".join(_short(parent) for parent in parents)
            raise Refused(
                f"{short} cannot be merged by themselves ({conflict}): merge them by hand and push the result"
            ) from conflict
        return printed.split("\n")[0]

    async def _commit(self, mirror: Path, tree: str, parents: Sequence[str], message: str) -> str:
        given = [word for parent in parents for word in ("-p", parent)]
        made = await self._signed(mirror, "commit-tree", "-S", *given, "-F", "-", tree, message=message)
        (commit,) = await log(self._mirrors, mirror, "--no-walk", made)
        if not await self._signatures.made_by(mirror, [commit], self._identity.address):
            raise PermanentError(
                f"The key of PLATFORM_OPS_SIGNING_KEY is not listed for {self._identity.address}: nobody"
                " could verify what it signs. List its public half in the catalog's service_identity or in"
                " the file of PLATFORM_OPS_ALLOWED_SIGNERS."
            )
        return made

    async def _tag(self, mirror: Path, commit: str, tag: NewTag) -> str:
        """The tag object, in the mirror only until it is pushed."""
        options = ("tag", "--sign", "--force", "--cleanup=verbatim", "-F", "-", tag.name, commit)
        await self._signed(mirror, *options, message=tag.message)
        return (await self._mirrors.read(mirror, "rev-parse", f"refs/tags/{tag.name}")).strip()

    async def _signed(self, mirror: Path, *arguments: str, message: str) -> str:
        identity = self._identity
        if identity.key is None or not os.access(identity.key, os.R_OK):
            named = f"names {identity.key}, which cannot be read" if identity.key else "is not set"
            raise PermanentError(f"PLATFORM_OPS_SIGNING_KEY {named}: the service identity cannot sign")
        environment = dict(os.environ)
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{role}_NAME": identity.name, f"GIT_{role}_EMAIL": identity.address}
            environment.pop(f"GIT_{role}_DATE", None)
        signing = (
            *("-c", "gpg.format=ssh", "-c", f"user.signingKey={identity.key.resolve()}"),
            *("-c", f"gpg.ssh.program={ssh_keygen()}"),
        )
        made = await self._mirrors.git(
            *("-C", str(mirror), *signing, *arguments), given=f"{message}\n".encode(), environment=environment
        )
        return made.decode().strip()

    async def _push(self, service: str, mirror: Path, *refs: str) -> None:
        """All of the refs or none, and never by force: what another push was faster with is a Conflict."""
        target = self._mirrors.url(service)
        try:
            await self._mirrors.git("-C", str(mirror), "push", "--atomic", target, *refs)
        except Refused as refused:
            if _LOST_THE_RACE.search(str(refused)):
                raise Conflict(f"{service} was pushed to meanwhile; looking again ({refused})") from refused
            raise Refused(
                f"the repository of {service} refused the push; may the service identity push there?"
                f" ({refused})"
            ) from refused


def _short(commit: str | None) -> str:
    return commit[:8] if commit else "nothing"
