"""Reads the files of a folder without following anything out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from analyzer.scan.coverage import MAX_FILE, Coverage, Source, Sources


def read_tree(root: Path, coverage: Coverage) -> Sources:
    """Every regular file below `root`, in a stable order; `.git` folders are left to `--commit`."""
    if root.is_file() and not root.is_symlink():
        yield from _read(root, root.name, coverage)
        return

    def unreadable(error: OSError) -> None:
        coverage.not_scanned.append(f"{_relative(Path(error.filename or '?'), root)}: {error.strerror}")

    for folder, names, files in os.walk(root, onerror=unreadable, followlinks=False):
        here = Path(folder)
        coverage.skipped["symbolic link"] += sum((here / name).is_symlink() for name in names)
        names[:] = sorted(name for name in names if name != ".git" and not (here / name).is_symlink())
        for name in sorted(files):
            yield from _read(here / name, _relative(here / name, root), coverage)


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _read(path: Path, shown: str, coverage: Coverage) -> Sources:
    try:
        # Without O_NONBLOCK opening a FIFO waits for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            coverage.skipped["symbolic link"] += 1
        elif not path.is_file() and path.exists():
            coverage.skipped["special file"] += 1
        else:
            coverage.not_scanned.append(f"{shown}: {error.strerror}")
        return
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            coverage.skipped["special file"] += 1
            return
        try:
            content = file.read(MAX_FILE + 1)
        except OSError as error:
            coverage.not_scanned.append(f"{shown}: {error.strerror}")
            return
    if len(content) > MAX_FILE:
        coverage.not_scanned.append(f"{shown}: larger than {MAX_FILE} bytes")
        return
    yield coverage.seen(Source(shown, content))
