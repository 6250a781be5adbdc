"""Runs the node, and beside it the controllers.

`python -m local_platform.node --kubeconfig F --data DIR --port P`.

SIGTERM stops the agent and leaves the pods running; the next agent on the same data adopts them.
`--stop-all` ends every pod of the data folder and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web

from local_platform.cluster.controllers.api import ApiClient
from local_platform.cluster.controllers.recorder import EventRecorder
from local_platform.cluster.controllers.run import run_controllers
from local_platform.node.addresses import Addresses, share_of
from local_platform.node.agent import NodeAgent, end_pod_folder
from local_platform.node.images import ImageStore
from local_platform.node.lease import NodeLease
from local_platform.node.machine import NodeObject, capacity, why_no_namespaces
from local_platform.node.pod_containers import NodeServices
from local_platform.node.registry import RegistryClient
from local_platform.node.server import NodeServer

log = logging.getLogger("local_platform.node")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local_platform.node", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of pods and images")
    parser.add_argument("--kubeconfig", type=Path, help="how to reach the API server")
    parser.add_argument("--port", type=int, help="port of the node's HTTP interface")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address that the interface binds and the Node carries"
    )
    parser.add_argument("--name", default="local-node", help="name of the Node object")
    parser.add_argument("--token-file", type=Path, help="bearer token that the API server shows")
    parser.add_argument("--registry-plain-http", action="append", default=[], metavar="HOST[:PORT]")
    parser.add_argument(
        "--registry-mirror",
        action="append",
        default=[],
        metavar="HOST=HOST:PORT",
        help="ask another registry instead",
    )
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="label of the Node")
    parser.add_argument(
        "--preload", action="append", default=[], metavar="IMAGE", help="pull before the node is ready"
    )
    parser.add_argument(
        "--without-controllers", action="store_true", help="run them with local_platform.cluster.controllers"
    )
    parser.add_argument("--stop-all", action="store_true", help="end every pod of the data folder, and leave")
    parsed = parser.parse_args(argv)
    if not parsed.stop_all and (parsed.kubeconfig is None or parsed.port is None):
        parser.error("--kubeconfig and --port are needed to run the node")
    return parsed


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = arguments()
    options.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if options.stop_all:
        ended = asyncio.run(stop_all(options.data))
        log.info("ended %d containers", ended)
        return
    lock = (options.data / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another node runs on {options.data}; stop it first or choose another --data")
    asyncio.run(run(options))


async def stop_all(data: Path) -> int:
    """Kill all containers of a data folder; images stay."""
    folder = data / "pods"
    counts = [await end_pod_folder(path) for path in sorted(folder.iterdir())] if folder.exists() else []
    (data / "addresses.json").unlink(missing_ok=True)
    return sum(counts)


async def run(options: argparse.Namespace) -> None:
    """The node until SIGTERM or SIGINT."""
    trouble = await why_no_namespaces()
    if trouble:
        log.error(trouble)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient.from_kubeconfig(options.kubeconfig, "kubelet"))
        session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        recorder = EventRecorder(client, "kubelet", options.name)
        agent = NodeAgent(node_services(options, client, session, recorder))
        runner = web.AppRunner(
            NodeServer(agent, read_token(options.token_file)).application(), access_log=None
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, options.host, options.port, shutdown_timeout=1).start()
        for image in options.preload:
            await agent.node.images.pull(image)
        labels = dict(entry.split("=", 1) for entry in options.label)
        node = NodeObject(client, options.name, options.host, options.port, options.data, trouble, labels)
        lease = NodeLease(client, options.name)
        work = [agent.run(), node.run(), lease.run(), recorder.run()]
        if not options.without_controllers:
            work.append(run_controllers(client))
        tasks = [loop.create_task(part) for part in work]
        waiting = loop.create_task(stopped.wait())
        done, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, *tasks):
            task.cancel()
        await asyncio.gather(waiting, *tasks, return_exceptions=True)
        for task in done - {waiting}:
            task.result()


def node_services(
    options: argparse.Namespace, client: ApiClient, session: aiohttp.ClientSession, recorder: EventRecorder
) -> NodeServices:
    mirrors = dict(entry.split("=", 1) for entry in options.registry_mirror)
    registry = RegistryClient(session, plain_http=frozenset(options.registry_plain_http), mirrors=mirrors)
    data: Path = options.data.resolve()
    return NodeServices(
        name=options.name,
        host_ip=options.host,
        folder=data,
        client=client,
        session=session,
        images=ImageStore(data / "images", registry),
        recorder=recorder,
        addresses=Addresses(data / "addresses.json", share_of(data)),
        allocatable=capacity(data),
    )


def read_token(file: Path | None) -> str:
    return file.read_text().strip() if file else ""


if __name__ == "__main__":
    main()
