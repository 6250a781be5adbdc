"""Python in an image: dependencies with hashes, and byte code, since a read-only root cannot cache it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from local_platform.images.elf import segments_only
from local_platform.images.errors import BuildError
from local_platform.images.layer import Tree

IMAGE_PYTHON = (3, 11)
PLATFORM = "x86_64-manylinux_2_36"
"""Debian 12's C library; with an older tag the resolver may choose wheels that lack their binary."""
_NEVER_RUN = re.compile(r"\.(?:pyi|pyx|pxd|c|h)$|/tests?/")
"""Type stubs, sources of what is compiled, and the tests that packages ship."""


def installed(requirements: Path, uv: str, cache: Path, *, whole: bool = False) -> Tree:
    """What the requirements install and a service runs, or all of it, under `app/lib`. Wheels, by hash."""
    with tempfile.TemporaryDirectory(prefix="image-dependencies-") as folder:
        target = Path(folder) / "lib"
        command = (
            uv, "pip", "install", "--quiet", "--target", str(target), "--no-deps", "--require-hashes",
            "--only-binary", ":all:", "--link-mode", "copy",
            "--python-platform", PLATFORM, "--python-version", ".".join(map(str, IMAGE_PYTHON)),
            "--requirements", str(requirements),
        )  # fmt: skip
        env = os.environ | {"UV_CACHE_DIR": str(cache / "uv"), "UV_NO_CONFIG": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        if done.returncode:
            raise BuildError(f"the requirements of {requirements.parent} cannot be installed:\n{done.stderr}")
        for name in (".lock",) if whole else (".lock", "bin"):
            path = target / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        tree = Tree()
        tree.add(target, "app/lib")
    return Tree(
        {
            path: replace(node, content=segments_only(node.content))
            for path, node in tree.items()
            if whole or not _NEVER_RUN.search(path)
        }
    )


def find_uv() -> str:
    """uv from the PATH, or from beside the environment that runs this, where `make` puts it."""
    beside = Path(sys.prefix).parent / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(beside) if beside.is_file() else None)
    if found is None:
        raise BuildError("uv is missing: run make once, or put uv on the PATH")
    return found


def with_byte_code(tree: Tree, below: str, *, keep_sources: bool = True) -> Tree:
    """The tree with compiled modules for its sources under `below`, or instead of them.

    They are of the kind that is never checked against its source (PEP 552), as nobody edits an image's files
    and a time stamp would make the layer another one each time. Byte code belongs to one version of Python: a
    build that runs on another one leaves it out, and the image starts more slowly.
    """
    if sys.version_info[:2] != IMAGE_PYTHON:
        return tree
    sources = Tree({p: n for p, n in tree.items() if p.startswith(f"{below}/") and p.endswith(".py")})
    if not sources:
        return tree
    with tempfile.TemporaryDirectory(prefix="image-byte-code-") as folder:
        sources.write(Path(folder))
        # compileall exits with 1 for sources that are no valid Python (templates); they stay uncompiled.
        subprocess.run(
            [sys.executable, "-I", "-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash",
             # Without its source a module is found beside where that was, not in __pycache__.
             *(() if keep_sources else ("-b",)), "-s", folder, "-p", "/", folder],
            capture_output=True, check=False,
        )  # fmt: skip
        compiled = Tree(tree)
        for path in sorted(Path(folder).rglob("*.pyc")):
            name = path.relative_to(folder).as_posix()
            compiled.file(name, path.read_bytes())
            if not keep_sources:
                del compiled[name.removesuffix("c")]
    return compiled
