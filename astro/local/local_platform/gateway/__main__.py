"""`python -m local_platform.gateway`: Envoy, configured from the HTTPRoutes of a cluster."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.config import ConfigException

from local_platform.gateway.admin import EnvoyAdmin
from local_platform.gateway.bootstrap import bootstrap
from local_platform.gateway.dataplane import DataPlane
from local_platform.gateway.envoy import EnvoyDidNotStart, EnvoyProcess
from local_platform.gateway.service import Gateway


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local_platform.gateway", description=__doc__)
    parser.add_argument("--kubeconfig", required=True, help="kubeconfig of the cluster to watch")
    parser.add_argument("--context", help="context of the kubeconfig; its current one by default")
    parser.add_argument("--data", required=True, type=Path, help="folder for Envoy's files, log and pid")
    parser.add_argument("--host", default="127.0.0.1", help="address that Envoy listens on")
    parser.add_argument("--port", required=True, type=int, help="port for the traffic")
    parser.add_argument("--admin-port", required=True, type=int, help="port for Envoy's admin and metrics")
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT, then drain and stop Envoy.

    When this process ends in any other way, Envoy goes on alone: routing as before beats not routing.
    """
    data = options.data.resolve()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    api = await config.new_client_from_config(options.kubeconfig, context=options.context)
    async with api, aiohttp.ClientSession() as session:
        admin = EnvoyAdmin(session, options.admin_port)
        static = bootstrap(
            host=options.host, port=options.port, admin_port=options.admin_port, xds=data / "xds"
        )
        envoy = EnvoyProcess(data, admin, static)
        gateway = Gateway(api, envoy, DataPlane(admin, data / "xds", envoy.log))
        running = asyncio.create_task(gateway.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            logging.info("draining and stopping Envoy")
            await envoy.stop()
        except EnvoyDidNotStart:
            await envoy.stop()
            raise


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(serve(arguments()))
    except EnvoyDidNotStart as error:
        print(f"The gateway cannot start: {error}", file=sys.stderr)
        return 1
    except (ConfigException, FileNotFoundError) as error:
        print(f"The gateway cannot read its kubeconfig: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
