"""Counts in the place of gateway and node, for services that nobody runs.

    python tests/platform/delivery_exporter.py SERVICES GATEWAY_PORT NODE_PORT

Names and labels are those that Envoy and the kubelet give, as far as the triggers ask for them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from time import monotonic

from aiohttp import web
from delivery_child import parent_gone
from delivery_objects import PODS, pod_name

from platform_ops.core.release import Colour
from platform_ops.core.triggers import ENVOY_BUCKETS

RATE = 25.0
"""Requests a second of each colour; one in a thousand fails."""
PROBES = 0.5
LIMIT = 512 * 1024 * 1024


def gateway(services: int, seconds: float) -> Iterator[str]:
    """All that Envoy counts of a backend and the triggers know: codes and the histogram of times."""
    done = int(RATE * seconds)
    for number in range(services):
        for colour in Colour:
            cluster = f'envoy_cluster_name="service-{number}-prod/service-{number}-{colour}/80"'
            yield f'envoy_cluster_upstream_rq{{{cluster},envoy_response_code="200"}} {done - done // 1000}'
            yield f'envoy_cluster_upstream_rq{{{cluster},envoy_response_code="500"}} {done // 1000}'
            yield f"envoy_cluster_upstream_rq_time_count{{{cluster}}} {done}"
            for bound in ENVOY_BUCKETS:
                bucket = f'{{{cluster},le="{bound * 1000:g}"}}'
                yield f"envoy_cluster_upstream_rq_time_bucket{bucket} {done if bound > 0.01 else 0}"


def node(services: int, seconds: float) -> Iterator[str]:
    for number in range(services):
        for colour in Colour:
            for pod in (pod_name(f"service-{number}-{colour}", one) for one in range(PODS)):
                where = f'namespace="service-{number}-prod",pod="{pod}",container="service-{number}"'
                for kind in ("Readiness", "Liveness"):
                    probe = f'{{{where},probe_type="{kind}",result="successful"}}'
                    yield f"prober_probe_total{probe} {int(PROBES * seconds)}"
                yield f"container_memory_working_set_bytes{{{where}}} {LIMIT // 4}"
                yield f"container_spec_memory_limit_bytes{{{where}}} {LIMIT}"


async def serve(services: int, gateway_port: int, node_port: int) -> None:
    began = monotonic()

    async def answer(request: web.BaseRequest) -> web.Response:
        port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
        made = gateway if port == gateway_port else node
        return web.Response(text="\n".join([*made(services, monotonic() - began), ""]))

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    for port in (gateway_port, node_port):
        await web.TCPSite(runner, "127.0.0.1", port).start()
    await parent_gone()


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:])))
