"""A bare aiohttp server that answers every GET with one body: what the cluster double could reach at best.

    python -m local_platform.benches.floor CERTIFICATE KEY

reads the body from its input, prints its port and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

from aiohttp import web


async def serve(certificate: str, key: str, body: bytes) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], sys.stdin.buffer.read()))
