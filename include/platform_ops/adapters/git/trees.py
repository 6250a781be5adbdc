"""A commit's tree, written out blob by blob: no filter runs, nothing gets outside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from platform_ops.core.errors import Refused


@dataclass(frozen=True)
class Entry:
    mode: str
    blob: str
    path: PurePosixPath


def entry(line: str) -> Entry:
    about, path = line.split("\t", 1)
    mode, _, blob = about.split()
    pure = PurePosixPath(path)
    if mode == "160000":
        raise Refused(f"{path} is a submodule; the source must be whole in its own repository")
    if pure.is_absolute() or {"..", ".git"} & {part.lower() for part in pure.parts}:
        raise Refused(f"{path!r} would be written outside of the tree")
    return Entry(mode, blob, pure)


def write_tree(entries: list[Entry], blobs: bytes, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    position = 0
    for one in entries:
        header_end = blobs.index(b"\n", position)
        size = int(blobs[position:header_end].split()[2])
        content = blobs[header_end + 1 : header_end + 1 + size]
        position = header_end + size + 2
        target = into / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if one.mode == "120000":
            _link(target, content.decode(), into)
        else:
            target.write_bytes(content)
            target.chmod(0o755 if one.mode == "100755" else 0o644)


def _link(target: Path, to: str, root: Path) -> None:
    resolved = Path(os.path.normpath(target.parent / to))
    if Path(to).is_absolute() or not resolved.is_relative_to(root):
        raise Refused(f"{target.relative_to(root)} links to {to}, outside of the tree")
    target.symlink_to(to)
