"""A registry with small images, and a cluster double whose node runs them: what the node's tests stand on.

The images are made from the machine's own shell and Python, so nothing is downloaded and nothing is committed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from local_platform.images.layer import Layer, Tree, cached
from local_platform.images.oci import Image, image
from local_platform.images.recipe import Recipe
from local_platform.images.registry import Repository, push

CHECKOUT = Path(__file__).parents[2]
PROGRAMS = ("sh", "cat", "sleep", "echo", "env", "id", "ls", "date", "touch", "mkdir", "tty", "true", "false", "head")
STANDARD_LIBRARY = ("collections", "email", "encodings", "html", "http", "importlib", "json", "logging", "re", "urllib")
APP = """
import http.server, os, signal, sys
state = {"ready": True}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/ready" and os.path.exists("/tmp/unready"):
            code = 503
        elif self.path == "/live" and os.path.exists("/tmp/dead"):
            code = 500
        else:
            code = 200
        body = os.environ.get("VERSION", "0").encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("listening", flush=True)
http.server.ThreadingHTTPServer((os.environ["POD_IP"], int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
"""


def shell_tree() -> Tree:
    """A root file system with a shell, some programs and Python."""
    tree = Tree()
    libraries: set[str] = set()
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found, f"{name} is not on this machine"
        libraries |= _add_program(tree, Path(found), f"bin/{name}")
    libraries |= _add_program(tree, Path(sys.executable), "usr/bin/python3")
    stdlib = Path(sysconfig.get_path("stdlib"))
    for file in stdlib.glob("*.py"):
        tree.add(file, f"{str(stdlib).lstrip('/')}/{file.name}")
    for name in (*STANDARD_LIBRARY, "lib-dynload"):
        tree.add(stdlib / name, f"{str(stdlib).lstrip('/')}/{name}")
    for file in (stdlib / "lib-dynload").glob("*.so"):
        libraries |= _libraries(file)
    for library in sorted(libraries):
        tree.file(library.lstrip("/"), Path(library).read_bytes(), 0o755)
    tree.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:10001:10001:app:/tmp:/bin/sh\n")
    tree.file("etc/group", "root:x:0:\napp:x:10001:\n")
    tree.file("app/serve.py", APP)
    tree.folder("tmp", 0o777)
    return tree


def _add_program(tree: Tree, source: Path, target: str) -> set[str]:
    real = source.resolve()
    tree.file(target, real.read_bytes(), 0o755)
    return _libraries(real)


def _libraries(program: Path) -> set[str]:
    output = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(/\S+) \(0x", output))


def build(cache: Path, command: tuple[str, ...] = ("sleep", "3600"), uid: int = 0) -> Image:
    """An image of two layers; the first is shared by all of them."""
    base = cached(cache, "shell", shell_tree)
    recipe = Recipe(packages=("none",), uid=uid, command=command, env={"PYTHONHOME": str(Path(stdlib_prefix()))})
    return image(recipe, [("shell", base), ("marker", marker_layer(cache))], {"made-by": "test"}, 0)


def stdlib_prefix() -> str:
    return str(Path(sysconfig.get_path("stdlib")).parents[1])


def marker_layer(cache: Path) -> Layer:
    def make() -> Tree:
        tree = Tree()
        tree.file("app/.wh.nothing", "")
        tree.file("app/marker", "second layer\n")
        return tree

    return cached(cache, "marker", make)


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """host:port of a docker-registry of its own."""
    unpacked = CHECKOUT / ".platform/debian/usr/bin/docker-registry"
    program = str(unpacked) if unpacked.is_file() else shutil.which("docker-registry")
    assert program, "docker-registry is missing: run make up once, which unpacks it"
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": address},
    }
    (folder / "registry.yml").write_text(json.dumps(config))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "registry.yml")], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"http://{address}/v2/").raise_for_status()
                break
            except httpx.TransportError:
                assert time.monotonic() < until, "docker-registry did not answer"
                assert process.poll() is None, "docker-registry ended"
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Images:
    """What the registry holds: references by digest."""

    address: str
    app: str


@contextmanager
def images(folder: Path) -> Iterator[Images]:
    """A registry that holds `app`."""
    with registry(folder) as address:
        built = build(folder / "cache")
        push(built, Repository(address, "app", plain_http=True), "1")
        yield Images(address, f"{address}/app@{built.digest}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def survivors(folder: Path) -> list[int]:
    """Processes whose command line names `folder`: shims, and through them containers."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(folder).encode() in line:
                found.append(int(entry))
    return found
