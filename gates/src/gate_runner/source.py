"""The commit's tree, out of a git bundle, blob by blob: none of its attributes, filters or hooks counts."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never")


class BadSource(Exception):
    """The bundle cannot be had or does not hold the commit, or the tree leads out of itself."""


def unpack(bundle: str, commit: str, into: Path, work: Path) -> None:
    """Write the tree of `commit` to `into`. `bundle` is a path or an http(s) address."""
    if not _COMMIT.match(commit):
        raise BadSource(f"{commit!r} is no full commit id of 40 hex digits")
    file, repository = work / "source.bundle", work / "repository"
    _fetch(bundle, file)
    _git(work, "init", "--quiet", "--bare", str(repository))
    _git(repository, "fetch", "--quiet", "--no-tags", str(file), "+refs/*:refs/bundled/*")
    listed = _git(repository, "ls-tree", "-r", "-z", commit).decode(errors="surrogateescape")
    entries = [_entry(line) for line in listed.split("\0") if line]
    blobs = _git(
        repository, "cat-file", "--batch", given="".join(f"{entry.blob}\n" for entry in entries).encode()
    )
    _write(entries, blobs, into)


@dataclass(frozen=True)
class _Entry:
    mode: str
    blob: str
    path: PurePosixPath


def _fetch(bundle: str, file: Path) -> None:
    try:
        if not bundle.startswith(("http://", "https://")):
            file.write_bytes(Path(bundle).read_bytes())
            return
        with urllib.request.urlopen(bundle, timeout=60) as answer, file.open("wb") as out:
            while chunk := answer.read(1 << 20):
                out.write(chunk)
    except OSError as error:
        raise BadSource(f"the bundle cannot be had: {error}") from error


def _entry(line: str) -> _Entry:
    about, path = line.split("\t", 1)
    mode, _, blob = about.split()
    pure = PurePosixPath(path)
    if pure.is_absolute() or {"..", ".git"} & {part.lower() for part in pure.parts}:
        raise BadSource(f"{path!r} would be written outside of the tree")
    if mode == "160000":
        raise BadSource(f"{path} is a submodule; the source must be whole in its own repository")
    return _Entry(mode, blob, pure)


def _write(entries: list[_Entry], blobs: bytes, into: Path) -> None:
    into.mkdir(parents=True)
    position = 0
    for entry in entries:
        header_end = blobs.index(b"\n", position)
        size = int(blobs[position:header_end].split()[2])
        content = blobs[header_end + 1 : header_end + 1 + size]
        position = header_end + size + 2
        target = into / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.mode == "120000":
            _link(target, os.fsdecode(content), into)
        else:
            target.write_bytes(content)
            target.chmod(0o755 if entry.mode == "100755" else 0o644)


def _link(target: Path, to: str, root: Path) -> None:
    resolved = Path(os.path.normpath(target.parent / to))
    if Path(to).is_absolute() or not resolved.is_relative_to(root):
        raise BadSource(f"{target.relative_to(root)} links to {to}, outside of the tree")
    target.symlink_to(to)


def _git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes:
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(folder)}
    env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        ["git", *_SAFE, "-C", str(folder), *arguments], input=given, capture_output=True, env=env, check=False
    )
    if done.returncode:
        raise BadSource(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
