"""A registry with small images, and a cluster double whose node runs them: what the node's tests stand on.

The images are made from the machine's own shell and Python, so nothing is downloaded and nothing is
committed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from local_platform.cluster.controllers.api import ApiClient
from local_platform.cluster.controllers.resources import EVENTS, PODS, Object, Resource
from local_platform.images.layer import Layer, Tree, cached
from local_platform.images.oci import Image, image
from local_platform.images.recipe import Recipe
from local_platform.images.registry import Repository, push

CHECKOUT = Path(__file__).parents[2]
PROGRAMS = (
    "sh",
    "cat",
    "sleep",
    "echo",
    "env",
    "id",
    "ls",
    "date",
    "touch",
    "mkdir",
    "tty",
    "true",
    "false",
    "head",
)
STANDARD_LIBRARY = (
    "collections",
    "email",
    "encodings",
    "html",
    "http",
    "importlib",
    "json",
    "logging",
    "re",
    "urllib",
)
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
address = os.environ["POD_IP"], int(os.environ.get("PORT", "8080"))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
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
    recipe = Recipe(
        packages=("none",), uid=uid, command=command, env={"PYTHONHOME": str(Path(stdlib_prefix()))}
    )
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


class Lab:
    """An API server and a node with its controllers, as processes that a test may kill and start again."""

    def __init__(self, folder: Path, registry_address: str) -> None:
        self.folder = folder
        self.data = folder / "node"
        self.port = free_port()
        self.url = ""
        self.kubeconfig = folder / "kubeconfig"
        self._registry = registry_address
        self._server: subprocess.Popen[str] | None = None
        self.node: subprocess.Popen[str] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokens.csv").write_text('secret,admin,admin,"system:masters"\n')
        (folder / "node-token").write_text("node-secret")

    def start_server(self) -> None:
        """The same port each time, so that a restart looks like one to the node."""
        port = self.url.rpartition(":")[2] or "0"
        options = [
            f"--data={self.folder / 'cluster'}",
            f"--port={port}",
            f"--tokens={self.folder / 'tokens.csv'}",
        ]
        self._server = self._start("cluster", [*options, f"--node-token-file={self.folder / 'node-token'}"])
        assert self._server.stdout is not None
        for line in self._server.stdout:
            if "listening on" in line:
                self.url = line.split()[-1]
                break
        assert self.url, f"the API server did not start: see {self.folder / 'cluster.log'}"
        self.kubeconfig.write_text(
            f"clusters: [{{name: lab, cluster: {{server: '{self.url}'}}}}]\n"
            "users: [{name: admin, user: {token: secret}}]\n"
            "contexts: [{name: lab, context: {cluster: lab, user: admin}}]\n"
            "current-context: lab\n"
        )

    def start_node(self) -> None:
        options = [f"--kubeconfig={self.kubeconfig}", f"--data={self.data}", f"--port={self.port}"]
        options += [
            f"--token-file={self.folder / 'node-token'}",
            f"--registry-mirror=localhost={self._registry}",
        ]
        self.node = self._start("node", options)

    def kill_node(self) -> None:
        assert self.node is not None
        self.node.kill()
        self.node.wait(10)

    def kill_server(self) -> None:
        assert self._server is not None
        self._server.kill()
        self._server.wait(10)

    def stop_pods(self) -> None:
        """As `make down` does after the node has ended."""
        command = [sys.executable, "-m", "local_platform.node", f"--data={self.data}", "--stop-all"]
        subprocess.run(command, env=self._environment(), check=True, timeout=60, capture_output=True)

    def stop(self) -> None:
        for process in (self.node, self._server):
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)
        self.stop_pods()

    def _start(self, module: str, options: list[str]) -> subprocess.Popen[str]:
        with (self.folder / f"{module}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"local_platform.{module}", *options],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if module == "cluster" else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    @staticmethod
    def _environment() -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(CHECKOUT / "astro" / "local"), "PYTHONUNBUFFERED": "1"}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Watcher]:
        async with ApiClient.from_kubeconfig(self.kubeconfig, "test") as client:
            yield Watcher(client)

    def survivors(self) -> list[int]:
        """Processes whose command line names this lab: shims, and by their life containers."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    line = Path(f"/proc/{entry}/cmdline").read_bytes()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if f"{self.data}/pods".encode() in line:
                    found.append(int(entry))
        return found


class Watcher:
    """What tests do with the API: write, and wait for a state by watching."""

    def __init__(self, client: ApiClient) -> None:
        self.api = client

    async def create(self, resource: Resource, body: Object, namespace: str = "default") -> Object:
        return await self.api.create(resource, namespace, body)

    async def until(
        self,
        resource: Resource,
        name: str,
        condition: Callable[[Object], object],
        namespace: str = "default",
        seconds: float = 60,
    ) -> Object:
        """The object once `condition` holds; the failure shows what it was last."""
        last: Object = {}
        try:
            async with asyncio.timeout(seconds):
                query = {"fieldSelector": f"metadata.name={name}"}
                async for kind, item in self.api.watch(resource.path(namespace), query):
                    if kind in ("ADDED", "MODIFIED"):
                        last = item
                        if condition(item):
                            return item
        except TimeoutError:
            pass
        raise AssertionError(
            f"{resource.kind} {name} did not get there, last seen: {json.dumps(last.get('status'))}"
        )

    async def gone(
        self, resource: Resource, name: str, namespace: str = "default", seconds: float = 60
    ) -> None:
        """Return when there is no such object."""
        async with asyncio.timeout(seconds):
            answer = await self.api.list(resource, namespace, fieldSelector=f"metadata.name={name}")
            if not answer["items"]:
                return
            query = {
                "fieldSelector": f"metadata.name={name}",
                "resourceVersion": answer["metadata"]["resourceVersion"],
            }
            async for kind, _ in self.api.watch(resource.path(namespace), query):
                if kind == "DELETED":
                    return

    async def log(self, name: str, namespace: str = "default", **query: str) -> str:
        return await self.api.text(PODS.path(namespace, name, "log"), query)

    async def events(self, name: str, namespace: str = "default") -> list[tuple[str, str]]:
        answer = await self.api.list(EVENTS, namespace, fieldSelector=f"involvedObject.name={name}")
        return [(item["reason"], item.get("message", "")) for item in answer["items"]]


def pod(name: str, *command: str, **container: object) -> Object:
    """A pod of one container `main`; keys of the pod's spec are given with `spec=`."""
    spec = dict(container.pop("spec", {}))  # type: ignore[call-overload]
    main = {"name": "main", "image": "localhost/app:1", **container}
    if command:
        main["command"] = list(command)
    defaults = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never"}
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {**defaults, "containers": [main], **spec},
    }


def phase_is(*phases: str) -> Callable[[Object], bool]:
    return lambda item: (item.get("status") or {}).get("phase") in phases


def main_status(item: Object) -> Object:
    statuses = (item.get("status") or {}).get("containerStatuses") or [{}]
    return dict(statuses[0])


def waiting_for(*reasons: str) -> Callable[[Object], bool]:
    return lambda item: main_status(item).get("state", {}).get("waiting", {}).get("reason") in reasons
