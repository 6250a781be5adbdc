"""Answers that last: watches, followed logs, WebSockets."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from .followed_logs import FollowedLog
from .recordings import Exchange
from .running import Running
from .watches import Watch
from .websockets import WebSocket


async def open_stream(
    session: aiohttp.ClientSession, exchange: Exchange, url: str, headers: Mapping[str, str]
) -> Running:
    if exchange.is_websocket:
        return await WebSocket.open(session, exchange, url, headers)
    if exchange.follows_log:
        return await FollowedLog.open(session, exchange, url, headers)
    return await Watch.open(session, exchange, url, headers)
