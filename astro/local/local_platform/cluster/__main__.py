"""`python -m local_platform.cluster`: run the API server until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import ssl
from pathlib import Path

from aiohttp import web

from .app import application
from .auth import read_token_file
from .bootstrap import prepare
from .state import ClusterState, Settings


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_platform.cluster", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the state, created with mode 0700"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 picks a free one")
    parser.add_argument("--tokens", type=Path, required=True, help='lines of token,user,uid,"group1,group2"')
    parser.add_argument("--tls-cert", type=Path, help="PEM certificate (with chain) of the server")
    parser.add_argument("--tls-key", type=Path, help="PEM key of the certificate")
    parser.add_argument(
        "--ca-cert", type=Path, help="PEM that clients verify the server with (default: --tls-cert)"
    )
    parser.add_argument("--node-token-file", type=Path, help="bearer token for the node agents")
    parser.add_argument("--server-name", action="append", default=[], help="further name to be asked under")
    parser.add_argument(
        "--without-gateway-api", action="store_true", help="install no CustomResourceDefinitions"
    )
    return parser


def settings_from(parsed: argparse.Namespace) -> Settings:
    parsed.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    parsed.data.chmod(0o700)
    authority = parsed.ca_cert or parsed.tls_cert
    token = parsed.node_token_file.read_text().strip() if parsed.node_token_file else ""
    return Settings(
        data=parsed.data,
        users=read_token_file(parsed.tokens),
        certificate=authority.read_text() if authority else "",
        node_token=token,
        hosts=frozenset(
            {"127.0.0.1", "localhost", "kubernetes.default.svc", parsed.host, *parsed.server_name}
        ),
        install_gateway_api=not parsed.without_gateway_api,
        address=f"{parsed.host}:{parsed.port}",
    )


async def serve(parsed: argparse.Namespace) -> None:
    context = None
    if parsed.tls_cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(parsed.tls_cert, parsed.tls_key)
    state = ClusterState(settings_from(parsed))
    prepare(state)
    runner = web.AppRunner(application(state), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, parsed.host, parsed.port, ssl_context=context)
    await site.start()
    (host, port), *_ = runner.addresses
    print(f"listening on {'https' if context else 'http'}://{host}:{port}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()
    await state.close()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(serve(arguments().parse_args()))


if __name__ == "__main__":
    main()
