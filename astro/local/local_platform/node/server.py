"""The node agent's HTTP interface: logs, exec, attach and port-forward for the API server, figures for
Prometheus.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from aiohttp import web

from local_platform.node.agent import NodeAgent
from local_platform.node.container import Attempt, Container
from local_platform.node.logs import LogRequest, read_log
from local_platform.node.metrics import Meter, exposition
from local_platform.node.pod_worker import PodWorker
from local_platform.node.port_forward import PROTOCOL, forward
from local_platform.node.streams import PROTOCOLS, Execution, StreamRequest, attach

OPEN_PATHS = ("/healthz", "/metrics")
TRUE = {"true", "True", "1", "t", "T", "TRUE"}
# As the kubelet says it to a reader of logs (validateContainerLogStatus); it names other reasons as such.
_WAITS_FOR = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class NodeServer:
    """Handlers over one agent. Everything but `/healthz` and `/metrics` wants the bearer token, if there
    is one.
    """

    def __init__(self, agent: NodeAgent, token: str) -> None:
        self._agent = agent
        self._token = token
        self._meter = Meter()

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._authenticate])
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
                web.get("/stats", self._stats),
                web.get("/containerLogs/{namespace}/{pod}/{container}", self._logs),
                web.get("/exec/{namespace}/{pod}/{container}", self._exec),
                web.get("/attach/{namespace}/{pod}/{container}", self._attach),
                web.get("/portForward/{namespace}/{pod}", self._port_forward),
            ]
        )
        return app

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: web.Handler) -> web.StreamResponse:  # type: ignore[name-defined]
        if self._token and request.path not in OPEN_PATHS:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                raise web.HTTPUnauthorized(text="the node wants the API server's bearer token")
        return await handler(request)  # type: ignore[no-any-return]

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _metrics(self, _: web.Request) -> web.Response:
        workers = self._agent.pods
        text = exposition(await self._meter.samples(workers), workers)
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    async def _stats(self, _: web.Request) -> web.Response:
        return web.json_response(self._meter.stats(await self._meter.samples(self._agent.pods)))

    def _worker(self, request: web.Request) -> PodWorker:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        worker = self._agent.worker(namespace, name)
        if worker is None:
            raise web.HTTPNotFound(text=f'pod "{name}" in namespace "{namespace}" does not run on this node')
        return worker

    def _container(self, request: web.Request) -> Container:
        name = request.match_info["container"]
        container = self._worker(request).containers.get(name)
        if container is None:
            raise web.HTTPNotFound(text=f'container "{name}" not found in pod "{request.match_info["pod"]}"')
        return container

    def _running(self, request: web.Request) -> Attempt:
        container = self._container(request)
        if container.current is None or not container.current.running:
            raise web.HTTPInternalServerError(text=f'container not found ("{container.name}")')
        return container.current

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        container, query = self._container(request), request.query
        pod = request.match_info["pod"]
        if query.get("previous") in TRUE:
            if container.previous is None:
                text = f'previous terminated container "{container.name}" in pod "{pod}" not found'
                raise web.HTTPBadRequest(text=text)
            attempt = container.previous
        elif (started := container.latest_started) is not None:
            attempt = started
        else:
            reason = container.waiting[0] or "ContainerCreating"
            shown = _WAITS_FOR.get(reason, reason)
            text = f'container "{container.name}" in pod "{pod}" is waiting to start: {shown}'
            raise web.HTTPBadRequest(text=text)
        wanted = log_request(query)
        ended = asyncio.Event()
        watch = asyncio.ensure_future(_set_when_ended(attempt, ended))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async for part in read_log(attempt, wanted, ended):
                await response.write(part)
            await response.write_eof()
        except (ConnectionResetError, ConnectionError):
            pass  # a client that no longer wants the log is the usual end of --follow
        finally:
            watch.cancel()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        attempt = self._running(request)
        wanted = stream_request(request)
        if not wanted.command:
            raise web.HTTPBadRequest(text="you must specify at least 1 command to execute in the container")
        response = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, autoping=True)
        await response.prepare(request)
        await Execution(attempt, wanted).run(response)
        return response

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        attempt = self._container(request).latest_started or self._running(request)
        response = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0)
        await response.prepare(request)
        await attach(response, attempt, stream_request(request))
        return response

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        worker = self._worker(request)
        response = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=0)
        await response.prepare(request)
        await forward(response, worker.pod_ip)
        return response


async def _set_when_ended(attempt: Attempt, ended: asyncio.Event) -> None:
    if attempt.running and attempt.shim:
        await attempt.shim.ended()
    ended.set()


def stream_request(request: web.Request) -> StreamRequest:
    query = request.query

    def asked(*names: str) -> bool:
        return any(query.get(name) in TRUE for name in names)

    return StreamRequest(
        command=query.getall("command", []),
        stdin=asked("stdin", "input"),
        stdout=asked("stdout", "output"),
        stderr=asked("stderr", "error"),
        terminal=asked("tty"),
    )


def log_request(query: Mapping[str, str]) -> LogRequest:
    since = ""
    if seconds := query.get("sinceSeconds"):
        moment = datetime.now(UTC) - timedelta(seconds=int(seconds))
        since = moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
    elif text := query.get("sinceTime"):
        since = (
            datetime.fromisoformat(text.replace("Z", "+00:00"))
            .astimezone(UTC)
            .strftime("%Y-%m-%dT%H:%M:%S.%f")
        )
    return LogRequest(
        follow=query.get("follow") in TRUE,
        tail=int(query["tailLines"]) if query.get("tailLines") else None,
        since=since,
        timestamps=query.get("timestamps") in TRUE,
        limit=int(query["limitBytes"]) if query.get("limitBytes") else None,
        stream=query.get("stream") or "All",
    )
