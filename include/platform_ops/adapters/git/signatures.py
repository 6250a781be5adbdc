"""Signatures of commits and tags, verified by `ssh-keygen` against the keys that are listed.

git is given an environment without anybody's configuration: what it trusts is what we name. A signature of
another kind (OpenPGP, X.509) would start another program; it is given one that says no.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from platform_ops.core.errors import PermanentError
from platform_ops.core.signatures import Signer, problems, signed_by
from platform_ops.core.source import Commit, SignedCommit

from .command import checked
from .history import log, span
from .mirrors import Mirrors

_TIMEOUT = timedelta(minutes=10)
"""Three processes of `ssh-keygen` a commit; the whole of a history at a first release."""
_BATCH = 500
_NO = ("-c", "gpg.program=false", "-c", "gpg.x509.program=false")


class GitSignatures:
    def __init__(self, mirrors: Mirrors, signers: Sequence[Signer]) -> None:
        self._mirrors = mirrors
        self.signers = tuple(signers)

    async def problems(
        self, service: str, commit: str, since: str | None, now: datetime
    ) -> tuple[int, tuple[str, ...]]:
        """How many commits there are in `since..commit`, and a sentence for each that is not signed as it
        must be, newest first."""
        async with self._mirrors.at(service, commit) as mirror:
            commits = await log(self._mirrors, mirror, *span(commit, since))
            signed = await self.check(mirror, commits)
            known = {one.id: one.at for one in commits}
            missing = {parent for one in commits for parent in one.parents} - known.keys()
            if missing:
                parents = await log(self._mirrors, mirror, "--no-walk", *sorted(missing))
                known |= {one.id: one.at for one in parents}
        return len(commits), problems(signed, self.signers, known, now)

    async def check(self, mirror: Path, commits: Sequence[Commit]) -> tuple[SignedCommit, ...]:
        """Each with what git says of its signature."""
        found: list[SignedCommit] = []
        async with self._allowed() as allowed:
            for start in range(0, len(commits), _BATCH):
                batch = commits[start : start + _BATCH]
                ids = "".join(f"{checked(one.id)}\n" for one in batch).encode()
                printed = await self._mirrors.git(
                    *allowed,
                    *("-C", str(mirror), "log", "--no-walk=unsorted", "--no-show-signature"),
                    *("--format=format:%H %G? %GF", "--stdin"),
                    given=ids,
                    environment=_plain_environment(),
                    timeout=_TIMEOUT,
                )
                rows = {row.split(" ")[0]: row.split(" ")[1:] for row in printed.decode().splitlines()}
                found += [SignedCommit(one, rows[one.id][0], rows[one.id][1]) for one in batch]
        return tuple(found)

    async def made_by(self, mirror: Path, commits: Iterable[Commit], address: str) -> frozenset[str]:
        """Those that `address` committed and authored, signed with its own key."""
        claimed = [one for one in commits if one.committer == address == one.author]
        signed = await self.check(mirror, claimed) if claimed else ()
        return frozenset(one.commit.id for one in signed if signed_by(one, address, self.signers))

    async def is_signed_tag(self, mirror: Path, name: str) -> bool:
        """Whether a listed key has signed an annotated tag."""
        async with self._allowed() as allowed:
            try:
                await self._mirrors.git(
                    *(*allowed, "-C", str(mirror), "-c", "gpg.minTrustLevel=fully"),
                    *("verify-tag", f"refs/tags/{name}"),
                    environment=_plain_environment(),
                )
            except PermanentError:
                return False
        return True

    @asynccontextmanager
    async def _allowed(self) -> AsyncIterator[tuple[str, ...]]:
        """Options that make git trust the listed keys."""
        with tempfile.NamedTemporaryFile("w", prefix="allowed-signers-") as file:
            file.write("".join(f"{signer.line}\n" for signer in self.signers))
            file.flush()
            settings = (f"gpg.ssh.program={ssh_keygen()}", f"gpg.ssh.allowedSignersFile={file.name}")
            yield (*_NO, *(word for setting in settings for word in ("-c", setting)))


def ssh_keygen() -> str:
    """The program, not what some configuration names so."""
    found = shutil.which("ssh-keygen")
    if found is None:
        raise PermanentError("ssh-keygen is not on the PATH; it is in Debian's package openssh-client")
    return found


def _plain_environment() -> dict[str, str]:
    """Without anybody's git configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
