"""Reads commits of a repository that nobody trusts: plumbing only, and its configuration does not count."""

from __future__ import annotations

import os
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from analyzer.scan.coverage import MAX_FILE, Coverage, Source, Sources

MAX_BUNDLE = 2 * 1024**3
_LINK, _SUBMODULE = "120000", "160000"
_NULL_ID = "0" * 40

Entry = tuple[str, str, str, str | None]
"""Mode, blob, path, and the commit that brought it (None: the tree that is scanned)."""


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
        except GitError:
            raise GitError(f"the repository has no commit {ref!r}") from None

    def is_shallow(self) -> bool:
        """Whether its history was cut off."""
        return self.output("rev-parse", "--is-shallow-repository").strip() == "true"

    def output(self, *arguments: str, given: bytes | None = None) -> str:
        """What a git command prints; paths that are not UTF-8 keep their bytes as surrogates."""
        done = subprocess.run(
            _git(*arguments, folder=self.path),
            input=given,
            capture_output=True,
            env=_environment(),
            check=False,
        )
        if done.returncode:
            raise GitError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip() or 'failed'}")
        return done.stdout.decode(errors="surrogateescape")


def _git(*arguments: str, folder: Path | None = None) -> list[str]:
    where = ["-C", str(folder)] if folder else []
    switches = (
        "safe.directory=*",
        "core.fsmonitor=false",
        "core.hooksPath=/dev/null",
        "core.attributesFile=/dev/null",
        "core.pager=cat",
        "diff.external=",
        "uploadpack.packObjectsHook=",
        "submodule.recurse=false",
    )
    return [
        "git",
        *where,
        *(part for switch in switches for part in ("-c", switch)),
        "--no-pager",
        *arguments,
    ]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
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


def read_commit(repository: Repository, commit: str, coverage: Coverage) -> Sources:
    """The files of the tree of one commit."""
    listing = repository.output("ls-tree", "-r", "-z", "--full-tree", commit)
    entries: list[Entry] = []
    for entry in filter(None, listing.split("\0")):
        meta, _, path = entry.partition("\t")
        mode, _, blob = meta.split(" ")
        entries.append((mode, blob, path, None))
    coverage.commits += 1
    yield from _read_blobs(repository, entries, coverage)


def read_history(repository: Repository, commit: str, since: str | None, coverage: Coverage) -> Sources:
    """Every blob, once, that a commit reachable from `commit` and not from `since` brought."""
    if repository.is_shallow():
        raise GitError("the clone is shallow, so its history is not all there; clone it whole")
    without = ["--not", since] if since else []
    commits = repository.output("rev-list", commit, *without)
    coverage.commits += commits.count("\n")
    listing = repository.output(
        "diff-tree", "--stdin", "-r", "-m", "--root", "-z", "--no-renames", "--no-ext-diff", "--no-textconv",
        given=commits.encode(),
    )  # fmt: skip
    yield from _read_blobs(repository, _changes(listing), coverage)


def _changes(listing: str) -> Iterator[Entry]:
    """(mode, blob, path, commit) of what `diff-tree -z --stdin` lists, each blob once."""
    seen = {_NULL_ID}
    commit = None
    fields = iter(listing.split("\0"))
    for field in fields:
        if not field.startswith(":"):
            commit = field or commit
            continue
        path = next(fields)
        _, mode, _, blob, _ = field.split(" ")
        if blob not in seen:
            seen.add(blob)
            yield mode, blob, path, commit


def _read_blobs(repository: Repository, entries: Iterable[Entry], coverage: Coverage) -> Sources:
    with _batch(repository) as (ask, answer):
        for mode, blob, path, commit in entries:
            shown = path.encode(errors="surrogateescape").decode(errors="replace")
            if mode == _SUBMODULE:
                coverage.skipped["submodule"] += 1
                continue
            if mode == _LINK:
                coverage.skipped["symbolic link"] += 1
            ask.write(f"{blob}\n".encode())
            ask.flush()
            header = answer.readline().split()
            if len(header) != 3:
                coverage.not_scanned.append(f"{shown}: object {blob} is missing or broken")
                if not header:
                    return
                continue
            content = _content(answer, int(header[2]))
            if content is None:
                coverage.not_scanned.append(f"{shown}: larger than {MAX_FILE} bytes")
                continue
            yield coverage.seen(Source(shown, content, commit))


@contextmanager
def _batch(repository: Repository) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    process = subprocess.Popen(
        _git("cat-file", "--batch", folder=repository.path),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdin, process.stdout
    finally:
        process.kill()
        process.communicate()


def _content(answer: IO[bytes], size: int) -> bytes | None:
    """The blob's bytes, or None for one that is too large (its bytes are read and dropped)."""
    if size <= MAX_FILE:
        content = answer.read(size)
        answer.read(1)
        return content
    left = size + 1
    while left:
        left -= len(answer.read(min(left, 1 << 20)))
    return None


@contextmanager
def cloned_bundle(source: str) -> Iterator[Repository]:
    """A bare clone of a git bundle from an address or a file, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="analyzer-") as folder:
        bundle = Path(folder) / "source.bundle"
        if urlsplit(source).scheme in ("http", "https"):
            _download(source, bundle)
        elif Path(source).is_file():
            bundle = Path(source).absolute()
        else:
            raise GitError(f"there is no bundle {source!r}")
        target = Path(folder) / "clone.git"
        command = _git(
            "-c", "transfer.fsckObjects=true", "clone", "--mirror", "--quiet", str(bundle), str(target)
        )
        done = subprocess.run(command, capture_output=True, env=_environment(), check=False)
        if done.returncode:
            raise GitError(f"the bundle cannot be cloned: {done.stderr.decode(errors='replace').strip()}")
        yield Repository(target)


def _download(url: str, target: Path) -> None:
    """Fetches a bundle. A presigned address is a credential, so no message repeats its query."""
    shown = urlsplit(url)._replace(query="", netloc=urlsplit(url).hostname or "").geturl()
    try:
        with urllib.request.urlopen(url, timeout=60) as response, target.open("wb") as file:
            written = 0
            while block := response.read(1 << 20):
                written += len(block)
                if written > MAX_BUNDLE:
                    raise GitError(f"the bundle at {shown} is larger than {MAX_BUNDLE} bytes")
                file.write(block)
    except urllib.error.HTTPError as error:
        raise GitError(f"{shown} answered {error.code} {error.reason}") from None
    except (urllib.error.URLError, OSError) as error:
        raise GitError(f"{shown} cannot be read: {getattr(error, 'reason', error)}") from None
