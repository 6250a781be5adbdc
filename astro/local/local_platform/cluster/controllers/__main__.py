"""Runs the controllers by themselves: `python -m local_platform.cluster.controllers --kubeconfig F`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
from pathlib import Path

from local_platform.cluster.controllers.api import ApiClient
from local_platform.cluster.controllers.run import run_controllers


async def run(kubeconfig: Path) -> None:
    async with ApiClient.from_kubeconfig(kubeconfig, "kube-controller-manager") as client:
        task = asyncio.ensure_future(run_controllers(client))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    parser = argparse.ArgumentParser(prog="local_platform.cluster.controllers", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the API server")
    asyncio.run(run(parser.parse_args().kubeconfig))


if __name__ == "__main__":
    main()
