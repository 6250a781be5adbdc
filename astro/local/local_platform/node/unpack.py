"""Unpacks the layers of OCI images: each chain of layers once, into a folder named by its content.

A chain shares unchanged files with the chain below by hard links, so nothing may ever write into these
folders; containers see them through an overlay.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class UnpackError(Exception):
    """A layer that is damaged, or that would write outside its folder."""


def chain_id(below: str, diff_id: str) -> str:
    """The name of a chain of layers (OCI image specification, "Layer ChainID")."""
    return diff_id if not below else "sha256:" + hashlib.sha256(f"{below} {diff_id}".encode()).hexdigest()


class _Hashing(io.RawIOBase):
    def __init__(self, inner: IO[bytes]) -> None:
        self._inner = inner
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._inner.read(len(buffer))
        buffer[: len(data)] = data
        self.digest.update(data)
        return len(data)


@contextmanager
def open_layer(blob: Path) -> Iterator[IO[bytes]]:
    """The tar stream inside a blob, whichever compression its first bytes show."""
    with blob.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic[:2] == b"\x1f\x8b":
            with gzip.open(file) as stream:
                yield stream  # type: ignore[misc]
        elif magic == b"\x28\xb5\x2f\xfd":
            raise UnpackError("the layer is compressed with zstd; push the image with gzip layers")
        else:
            yield file


def unpack_layer(blob: Path, diff_id: str, below: Path | None, target: Path) -> None:
    """Make `target` the file tree of `below` with one layer applied. Does nothing when it is there.

    Raises:
        UnpackError: the content is not `diff_id`, or an entry leads outside. `target` is then not made.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="unpacking-", dir=target.parent))
    try:
        tree = scratch / "tree"
        if below is None:
            tree.mkdir()
        else:
            shutil.copytree(below, tree, symlinks=True, copy_function=_link)
        with open_layer(blob) as stream:
            hashing = _Hashing(stream)
            buffered = io.BufferedReader(hashing, 1 << 18)
            _apply(buffered, tree)
            while buffered.read(1 << 18):
                pass
        found = "sha256:" + hashing.digest.hexdigest()
        if found != diff_id:
            raise UnpackError(f"layer {blob.name} unpacks to {found}, the image's config says {diff_id}")
        tree.chmod(0o755)
        try:
            tree.rename(target)
        except OSError:
            if not target.exists():
                raise
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UnpackError(f"layer {blob.name} is damaged: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _link(source: str, target: str, *, follow_symlinks: bool = True) -> None:
    os.link(source, target, follow_symlinks=False)


def _apply(stream: IO[bytes], tree: Path) -> None:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        times: list[tuple[Path, float]] = []
        for member in archive:
            path = _place(tree, member.name)
            if path == tree:
                continue
            if path.name == OPAQUE:
                _empty(path.parent)
            elif path.name.startswith(WHITEOUT):
                _remove(path.with_name(path.name[len(WHITEOUT) :]))
            else:
                _extract(archive, member, tree, path)
                times.append((path, member.mtime))
        for path, mtime in reversed(times):
            if path.exists() and not path.is_symlink():
                os.utime(path, (mtime, mtime))


def _place(tree: Path, name: str) -> Path:
    """Where an entry goes. Links in the folder part are followed as if `tree` were the root, never out of
    it.
    """
    place = tree
    parts = [part for part in Path(name).parts if part not in ("/", ".")]
    if ".." in parts:
        raise UnpackError(f"layer entry {name!r} leads outside the image")
    for part in parts[:-1]:
        place = place / part
        for _ in range(20):
            if not place.is_symlink():
                break
            link = os.readlink(place)
            place = Path(
                os.path.normpath((tree if link.startswith("/") else place.parent) / link.lstrip("/"))
            )
            if not place.is_relative_to(tree):
                raise UnpackError(f"layer entry {name!r} leads outside the image over the link {link!r}")
        else:
            raise UnpackError(f"layer entry {name!r} goes through a loop of links")
    return place / parts[-1] if parts else tree


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        if path.is_symlink() or not path.is_dir():
            _remove(path)
            path.mkdir()
        path.chmod((member.mode & 0o1777) | 0o700)
        return
    _remove(path)
    if member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        os.link(_place(tree, member.linkname), path, follow_symlinks=False)
    elif member.isreg():
        source = archive.extractfile(member)
        assert source is not None
        with path.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 18)
        path.chmod((member.mode & 0o777) | 0o400)
    elif member.isfifo():
        os.mkfifo(path, member.mode & 0o777)
    # Device nodes need rights that nobody has here; containers get their devices from the sandbox.


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _empty(folder: Path) -> None:
    if folder.is_dir():
        for entry in folder.iterdir():
            _remove(entry)
