"""A root file system out of package files, with what their maintainer scripts would have written."""

from __future__ import annotations

import fnmatch
import io
import re
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from local_platform.images.debian import control_fields
from local_platform.images.errors import BuildError
from local_platform.images.layer import Node, Tree

# In Debian 12 packages still ship /bin, /lib…; a merged system has links there (https://wiki.debian.org/UsrMerge).
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DROPPED = re.compile(
    r"^(?:usr/share/(?:man|info|locale|lintian|bug|gitweb|bash-completion|apport|menu|pixmaps|applications|"
    r"binfmts|git-core/contrib|perl5|gcc)/"
    r"|usr/share/doc/(?!.*/copyright$)"
    r"|usr/lib/python3\.\d+/(?:ensurepip|idlelib|lib2to3|pydoc_data|test|tkinter|turtledemo|config-)"
    r"|usr/lib/x86_64-linux-gnu/(?:gconv|perl|audit)/"
    r"|var/cache/|usr/lib/systemd/|etc/(?:init\.d|cron|logrotate|apt)/?)"
)

_LARGE = 65_536
"""Bytes."""


def root_filesystem(packages: Iterable[Path], *, drop: Sequence[str], user: str, uid: int) -> Tree:
    """The merged contents of `packages`, a user, a CA bundle, and the package list that scanners read."""
    tree = Tree()
    for package in packages:
        _unpack(package, tree)
        fields = control_fields(package)
        name = fields.partition("Package: ")[2].partition("\n")[0]
        tree.file(f"var/lib/dpkg/status.d/{name}", fields)
    for pattern in drop:
        for path in fnmatch.filter(list(tree), pattern):
            del tree[path]
    _link_merged_folders(tree)
    _write_what_scripts_write(tree, user, uid)
    _link_equal_files(tree)
    return tree


def _unpack(package: Path, tree: Tree) -> None:
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], capture_output=True, check=False)
    if done.returncode:
        raise BuildError(f"{package.name}: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            path = _merged(member.name.removeprefix("./").rstrip("/"))
            if not path or path == "." or _DROPPED.match(path + ("/" if member.isdir() else "")):
                continue
            # Nothing in the image may change its user.
            mode = member.mode & 0o1777
            if member.isfile():
                content = archive.extractfile(member)
                assert content is not None
                tree[path] = Node(tarfile.REGTYPE, mode, content.read())
            elif member.isdir():
                tree.folder(path, mode)
            elif member.issym():
                tree.link(path, member.linkname)
            elif member.islnk():
                tree[path] = Node(tarfile.LNKTYPE, mode, target=_merged(member.linkname.removeprefix("./")))


def _merged(path: str) -> str:
    top, _, rest = path.partition("/")
    if top not in _MERGED:
        return path
    return f"usr/{top}/{rest}" if rest else f"usr/{top}"


def _link_merged_folders(tree: Tree) -> None:
    for name in ("bin", "sbin", "lib", "lib64"):
        tree.link(name, f"usr/{name}")


def _link_equal_files(tree: Tree) -> None:
    """Large files that a package ships twice (git does) are stored once."""
    first: dict[tuple[bytes, int], str] = {}
    for path, node in sorted(tree.items()):
        if node.kind == tarfile.REGTYPE and len(node.content) >= _LARGE:
            original = first.setdefault((node.content, node.mode), path)
            if original != path:
                tree[path] = Node(tarfile.LNKTYPE, node.mode, target=original)


def _write_what_scripts_write(tree: Tree, user: str, uid: int) -> None:
    for folder in ("dev", "proc", "sys", "run", "etc", "app", "home", "root", "var/tmp"):
        tree.folder(folder, 0o1777 if folder == "var/tmp" else 0o755)
    tree.folder("tmp", 0o1777)
    tree.file(
        "etc/passwd",
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        f"{user}:x:{uid}:{uid}:{user}:/app:/usr/sbin/nologin\n",
    )
    tree.file("etc/group", f"root:x:0:\nnogroup:x:65534:\n{user}:x:{uid}:\n")
    tree.file(
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    )
    if "usr/bin/sh" not in tree and "usr/bin/dash" in tree:
        tree.link("usr/bin/sh", "dash")
    if "usr/bin/awk" not in tree and "usr/bin/mawk" in tree:
        tree.link("usr/bin/awk", "mawk")
    if "usr/bin/python3" not in tree and "usr/bin/python3.11" in tree:
        tree.link("usr/bin/python3", "python3.11")
    authorities = sorted(path for path in tree if re.match(r"usr/share/ca-certificates/.*\.crt$", path))
    if authorities:
        tree.file("etc/ssl/certs/ca-certificates.crt", b"".join(tree[path].content for path in authorities))
