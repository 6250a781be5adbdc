"""A service's repository with people who sign, each with a key of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_platform.signing import SERVICE as PLATFORM
from local_platform.signing import Keys
from platform_ops.adapters.git import (
    GitBranches,
    GitRepositories,
    GitSignatures,
    Identity,
    Mirrors,
    listed_signers,
)
from platform_ops.core.signatures import Signer

SERVICE = "llm-service"
PLATFORM_ADDRESS = "platform-ops@example.com"


@dataclass
class SignedGit:
    """A work tree, the bare repository that it pushes to, and the keys of everybody."""

    folder: Path
    keys: Keys

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def bare(self) -> Path:
        return self.folder / "origin.git"

    def create(self) -> SignedGit:
        self.tree.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=development")
        self.git("init", "--quiet", "--bare", str(self.bare))
        self.git("remote", "add", "origin", str(self.bare))
        return self

    def git(self, *words: str, who: str = "developer", given: str = "", **environment: str) -> str:
        """What git prints, with nobody's configuration, signing as one of the people."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        own |= {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "false",
            **environment,
        }
        done = subprocess.run(
            ["git", *self.keys.committer(who).options(), *words],
            cwd=self.tree,
            env=own,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(
        self,
        message: str,
        *options: str,
        branch: str = "development",
        who: str = "developer",
        **environment: str,
    ) -> str:
        """A change of the file that the message names, on top of the work tree, pushed to a branch."""
        name = "".join(c for c in message if c.isalnum())
        (self.tree / name).write_text(message)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message, *options, who=who, **environment)
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")

    def push(self, commit: str, branch: str) -> None:
        self.git("push", "--quiet", "--force", "origin", f"{commit}:refs/heads/{branch}")

    def at(self, name: str, form: str = "%H") -> str:
        """A ref of the bare repository as `git show` formats it."""
        return self.git("-C", str(self.bare), "show", "--no-patch", f"--format={form}", name)

    def refs(self) -> str:
        return self.git("-C", str(self.bare), "for-each-ref")

    # ---------------------------------------------------------------- what is tested
    def mirrors(self, state: str = "state") -> Mirrors:
        return Mirrors({SERVICE: str(self.bare)}, self.folder / state)

    def signatures(self, signers: Sequence[Signer] | None = None) -> GitSignatures:
        listed = listed_signers(str(self.keys.allowed_signers)) if signers is None else signers
        return GitSignatures(self.mirrors(), listed)

    def reading(self) -> GitRepositories:
        return GitRepositories(self.mirrors(), self.signatures(), PLATFORM_ADDRESS)

    def branches(self, key: Path | None = None, state: str = "state") -> GitBranches:
        identity = Identity(PLATFORM, PLATFORM_ADDRESS, key or self.keys.key(PLATFORM))
        return GitBranches(self.mirrors(state), self.signatures(), identity)
