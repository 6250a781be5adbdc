"""/openapi/v3: as much of it as kubectl needs before it sends a manifest."""

from __future__ import annotations

from aiohttp import web

from .state import ClusterState


async def answer(state: ClusterState, request: web.Request) -> web.Response | None:
    return None
