"""A layer: a tree of files in memory, written as the same tar archive whoever writes it and whenever."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Node:
    """A file, folder or link of a layer. Everything belongs to root."""

    kind: bytes
    mode: int
    content: bytes = b""
    target: str = ""


class Tree(dict[str, Node]):
    """Paths without a leading slash and what stands there."""

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Adds a folder."""
        self[path] = Node(tarfile.DIRTYPE, mode)

    def file(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        """Adds a file."""
        self[path] = Node(tarfile.REGTYPE, mode, content.encode() if isinstance(content, str) else content)

    def link(self, path: str, target: str) -> None:
        """Adds a symbolic link."""
        self[path] = Node(tarfile.SYMTYPE, 0o777, target=target)

    def add(self, source: Path, to: str) -> None:
        """Adds the files below `source`; Python's caches stay out, links are kept as they are."""
        if source.is_file():
            self._copy_file(source, to)
            return
        for folder, names, files in os.walk(source):
            names[:] = sorted(name for name in names if name != "__pycache__")
            for name in sorted(files):
                path = Path(folder) / name
                self._copy_file(path, f"{to}/{path.relative_to(source).as_posix()}")

    def _copy_file(self, source: Path, to: str) -> None:
        if source.is_symlink():
            self.link(to, os.readlink(source))
        else:
            self.file(to, source.read_bytes(), 0o755 if source.stat().st_mode & 0o111 else 0o644)

    def with_parents(self) -> Tree:
        """This tree with the folders that its paths imply."""
        whole = Tree(self)
        for path in self:
            for parent in PurePosixPath(path).parents:
                if str(parent) != "." and str(parent) not in whole:
                    whole.folder(str(parent))
        return whole

    def write(self, target: Path) -> None:
        """Writes the files to a folder, for tools that need them on disk; links stay out."""
        for path, node in self.items():
            if node.kind == tarfile.REGTYPE:
                file = target / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(node.content)


@dataclass(frozen=True)
class Layer:
    """A gzipped tar archive on disk."""

    path: Path
    digest: str
    """sha256 of the gzipped archive, which names the blob."""
    diff_id: str
    """sha256 of the archive, which the image's configuration lists."""
    size: int


def cached(cache: Path, key: str, make: Callable[[], Tree]) -> Layer:
    """The layer of `key`, from the cache or made now. Interrupted builds leave nothing that looks whole."""
    folder = cache / "layers" / key
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".draft-"))
        try:
            _write(make(), draft)
            os.rename(draft, folder)
        except OSError:
            # Another build may have put the same layer there meanwhile.
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    facts = json.loads((folder / "layer.json").read_text())
    return Layer(folder / "layer.tar.gz", facts["digest"], facts["diff_id"], facts["size"])


class _Digesting(io.RawIOBase):
    """Passes bytes on and hashes them."""

    def __init__(self, to: io.BufferedIOBase | gzip.GzipFile) -> None:
        self._to = to
        self.hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.hash.update(data)
        self.size += len(data)
        self._to.write(data)
        return len(data)


def _write(tree: Tree, folder: Path) -> None:
    with (folder / "layer.tar.gz").open("wb") as file:
        packed = _Digesting(file)
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=packed, mtime=0) as zipped:
            plain = _Digesting(zipped)
            with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                _add_all(archive, tree.with_parents())
    facts = {
        "digest": f"sha256:{packed.hash.hexdigest()}",
        "diff_id": f"sha256:{plain.hash.hexdigest()}",
        "size": packed.size,
    }
    (folder / "layer.json").write_text(json.dumps(facts))


def _add_all(archive: tarfile.TarFile, tree: Tree) -> None:
    # A hard link's target has to stand before it, so links come last.
    for path, node in sorted(tree.items(), key=lambda item: (item[1].kind == tarfile.LNKTYPE, item[0])):
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.linkname, info.size = node.kind, node.mode, node.target, len(node.content)
        archive.addfile(info, io.BytesIO(node.content))
