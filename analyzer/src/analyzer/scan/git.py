"""Runs git on a repository that nobody trusts: plumbing only, and its configuration does not count."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_SWITCHES = (
    "safe.directory=*",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.pager=cat",
    "diff.external=",
    "uploadpack.packObjectsHook=",
    "submodule.recurse=false",
    # Little memory for each of several processes; more would not make them faster.
    "core.deltaBaseCacheLimit=16m",
    "core.packedGitWindowSize=1m",
    "core.packedGitLimit=16m",
)


class GitError(Exception):
    """git could not do what was asked; the message carries its own words."""


@dataclass(frozen=True)
class Repository:
    """A repository on disk."""

    path: Path

    def commit_id(self, ref: str) -> str:
        """The full id of a commit; raises `GitError` when the repository has no such commit."""
        try:
            return self.output(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
            ).strip()
        except GitError as error:
            if not self.exists():
                raise GitError(f"{str(self.path)!r} is not a git repository") from error
            raise GitError(f"the repository has no commit {ref!r}") from None

    def exists(self) -> bool:
        """Whether the path is in a repository."""
        try:
            self.output("rev-parse", "--git-dir")
        except GitError:
            return False
        return True

    def is_shallow(self) -> bool:
        """Whether its history was cut off."""
        return self.output("rev-parse", "--is-shallow-repository").strip() == "true"

    def has_commits(self) -> bool:
        """False right after `git init`."""
        try:
            self.commit_id("HEAD")
        except GitError:
            return False
        return True

    def output(self, *arguments: str) -> str:
        """What a git command prints; paths that are not UTF-8 keep their bytes as surrogates."""
        return b"".join(self.stream(*arguments)).decode(errors="surrogateescape")

    def stream(self, *arguments: str, given: str | None = None) -> Iterator[bytes]:
        """What a command prints, piece by piece. Raises `GitError` after the last one if it failed."""
        with _memory() as errors, _memory() as told:
            told.write((given or "").encode())
            told.seek(0)
            process = subprocess.Popen(
                command(*arguments, folder=self.path),
                stdin=told, stdout=subprocess.PIPE, stderr=errors, env=environment(),
            )  # fmt: skip
            assert process.stdout is not None
            try:
                while piece := process.stdout.read(1 << 16):
                    yield piece
                failed = process.wait()
            finally:
                process.stdout.close()
                if process.poll() is None:
                    process.kill()
                    process.wait()
            if failed:
                errors.seek(0)
                said = errors.read(4096).decode(errors="replace").strip()
                raise GitError(f"git {arguments[0]}: {said or 'failed'}")

    def records(self, *arguments: str, end: str, given: str | None = None) -> Iterator[str]:
        """What a command prints, split at `end`; the last record may come just before `GitError`."""
        rest, separator = b"", end.encode()
        for piece in self.stream(*arguments, given=given):
            *whole, rest = (rest + piece).split(separator)
            for record in whole:
                yield record.decode(errors="surrogateescape")
        if rest:
            yield rest.decode(errors="surrogateescape")


def _memory() -> IO[bytes]:
    """A file that needs no folder to write to: a scan may run with a read-only root and nothing else."""
    return os.fdopen(os.memfd_create("git"), "w+b")


def command(*arguments: str, folder: Path | None = None) -> list[str]:
    """The argument list of a git command that reads no configuration but ours."""
    where = ["-C", str(folder)] if folder else []
    switches = (part for switch in _SWITCHES for part in ("-c", switch))
    return ["git", *where, *switches, "--no-pager", *arguments]


def environment() -> dict[str, str]:
    """The environment of a git command: no `GIT_…` of ours but the index that a commit hook is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    if index := os.environ.get("GIT_INDEX_FILE"):
        kept["GIT_INDEX_FILE"] = os.path.abspath(index)
    return kept | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        # Also forbids the fetch on demand of a partial clone, which would run the repository's own commands.
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "LC_ALL": "C",
    }
