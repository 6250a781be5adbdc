"""What ran the recordings' Pods: a real node for the first control plane, a script for the second.

The second control plane had no kubelet: a script patched Pod status (Running and Ready after a moment, Pods
of Jobs then Succeeded, images called nosuch stayed Pending). `ScriptedKubelet` does the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from node_lab import _add_program, registry, shell_tree, stdlib_prefix

from local_platform.images.layer import Tree, cached
from local_platform.images.oci import Image, image
from local_platform.images.recipe import Recipe
from local_platform.images.registry import Repository, push

FAKE_NODE = "fakenode"
READY_AFTER_SECONDS = 0.4
FINISH_AFTER_SECONDS = 0.4
MORE_PROGRAMS = ("tar", "fold", "tr", "test", "rm", "seq", "kill")

# The recorded image served HTTP on port 8080 and had a `job CODE` mode. Pods of the double share the host's
# network, so everything that listens binds the Pod's own address, which /etc/hosts names.
APP = """
import http.server, os, socket, sys, time
if sys.argv[1:2] == ["job"]:
    print("job log line", flush=True)
    time.sleep(0.5)
    sys.exit(int(sys.argv[2]))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("VERSION", "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
address = socket.gethostbyname(socket.gethostname())
http.server.ThreadingHTTPServer((address, 8080), Handler).serve_forever()
"""
PYTHON = """#!/bin/sh
unset PYTHONUNBUFFERED
if [ "$1 $2" = "-m http.server" ]; then
    shift 2
    exec /usr/bin/python3-real -m http.server --bind "$(/usr/bin/python3-real -c \\
        'import socket; print(socket.gethostbyname(socket.gethostname()))')" "$@"
fi
exec /usr/bin/python3-real "$@"
"""


def app_image(cache: Path) -> Image:
    """The counterpart of the recordings' `localhost/app:1`, made from the machine's own programs."""
    base = cached(cache, "shell", shell_tree)

    def own_layer() -> Tree:
        tree = Tree()
        libraries: set[str] = set()
        for name in MORE_PROGRAMS:
            found = shutil.which(name)
            if found:
                libraries |= _add_program(tree, Path(found), f"bin/{name}")
        libraries |= _add_program(tree, Path(sys.executable), "usr/bin/python3-real")
        for library in sorted(libraries):
            tree.file(library.lstrip("/"), Path(library).read_bytes(), 0o755)
        tree.file("usr/bin/python3", PYTHON, 0o755)
        tree.file("app/app.py", APP)
        return tree

    recipe = Recipe(
        packages=("none",),
        uid=10001,
        command=("python3", "/app/app.py"),
        env={"PYTHONHOME": str(Path(stdlib_prefix())), "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    return image(recipe, [("shell", base), ("recorded-app", own_layer_cached(cache, own_layer))], {}, 0)


def own_layer_cached(cache: Path, make: Any) -> Any:
    key = hashlib.sha256((APP + PYTHON + ",".join(MORE_PROGRAMS)).encode()).hexdigest()[:12]
    return cached(cache, f"recorded-app-{key}", make)


@contextmanager
def recorded_image(folder: Path) -> Iterator[str]:
    """host:port of a registry that holds `app:1`, which the node knows as `localhost/app:1`."""
    with registry(folder) as address:
        push(app_image(folder.parent / "image-cache"), Repository(address, "app", plain_http=True), "1")
        yield address


class ScriptedKubelet:
    """Patches the status of Pods on `fakenode`, and lets deleted ones go."""

    def __init__(self, base: str, token: str) -> None:
        self._base = base
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "OpenAPI-Generator/36.0.3"}
        self._addresses = itertools.count(2)
        self._seen: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Works until cancelled."""
        async with aiohttp.ClientSession(headers=self._headers) as session:
            try:
                while True:
                    try:
                        async with session.get(f"{self._base}/api/v1/pods") as response:
                            pods = (await response.json()).get("items") or []
                    except aiohttp.ClientConnectionError:
                        # The replay restarts the server on purpose; the next look finds it again.
                        pods = []
                    for pod in pods:
                        self._look_at(session, pod)
                    await asyncio.sleep(0.05)
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def _look_at(self, session: aiohttp.ClientSession, pod: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        if pod["spec"].get("nodeName") != FAKE_NODE:
            return
        step = "delete" if metadata.get("deletionTimestamp") else "run"
        if (metadata["uid"], step) in self._seen:
            return
        self._seen.add((metadata["uid"], step))
        action = self._let_go(session, pod) if step == "delete" else self._bring_up(session, pod)
        task = asyncio.create_task(action)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring_up(self, session: aiohttp.ClientSession, pod: Mapping[str, Any]) -> None:
        if any("nosuch" in one["image"] for one in pod["spec"]["containers"]):
            return
        await asyncio.sleep(READY_AFTER_SECONDS)
        created = pod["metadata"]["creationTimestamp"]
        address = f"10.78.0.{next(self._addresses)}"
        ready = _status(pod, created, "Running", "True", {"running": {"startedAt": created}})
        ready |= {"podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.99.0.9", "startTime": created}
        await self._patch_status(session, pod, ready)
        owners = pod["metadata"].get("ownerReferences") or []
        if any(one["kind"] == "Job" for one in owners):
            await asyncio.sleep(FINISH_AFTER_SECONDS)
            ended = {"exitCode": 0, "reason": "Completed", "startedAt": created, "finishedAt": created}
            await self._patch_status(
                session, pod, _status(pod, created, "Succeeded", "False", {"terminated": ended})
            )

    async def _let_go(self, session: aiohttp.ClientSession, pod: Mapping[str, Any]) -> None:
        await asyncio.sleep(READY_AFTER_SECONDS / 2)
        async with session.delete(self._url(pod), json={"gracePeriodSeconds": 0}):
            return

    async def _patch_status(
        self, session: aiohttp.ClientSession, pod: Mapping[str, Any], status: Mapping[str, Any]
    ) -> None:
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        async with session.patch(self._url(pod) + "/status", json={"status": status}, headers=headers):
            return

    def _url(self, pod: Mapping[str, Any]) -> str:
        metadata = pod["metadata"]
        return f"{self._base}/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def _status(
    pod: Mapping[str, Any], moment: str, phase: str, ready: str, state: Mapping[str, Any]
) -> dict[str, Any]:
    kinds = ("Initialized", "PodScheduled", "ContainersReady", "Ready")
    conditions = [
        {"type": kind, "status": ready if "Ready" in kind else "True", "lastTransitionTime": moment}
        for kind in kinds
    ]
    containers = [
        {
            "name": one["name"],
            "image": one["image"],
            "imageID": "x",
            "ready": ready == "True",
            "started": ready == "True",
            "restartCount": 0,
            "state": state,
        }
        for one in pod["spec"]["containers"]
    ]
    return {"phase": phase, "conditions": conditions, "containerStatuses": containers}
