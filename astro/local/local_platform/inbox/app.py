"""The HTTP side of the inbox as one application: Slack, PagerDuty, the page and its JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from aiohttp import web

from local_platform.inbox.page import KINDS, page
from local_platform.inbox.pagerduty import PagerDuty
from local_platform.inbox.slack import RateLimit, Slack
from local_platform.inbox.store import Entry, Store

MAX_BODY = 2 * 1024 * 1024


def create_app(
    store: Store, slack_token: str, clock: Callable[[], float], limit: RateLimit | None = None
) -> web.Application:
    """Build the application; `clock` gives Unix seconds."""

    def chosen(request: web.Request) -> list[Entry]:
        kind, channel = request.query.get("kind", ""), request.query.get("channel", "")
        if kind and kind not in KINDS:
            raise web.HTTPBadRequest(text=f"kind is one of {', '.join(KINDS)}\n")
        names = {channel, f"#{channel}", f"#{(store.channel(channel) or {}).get('name', channel)}"}
        return [
            entry
            for entry in store.entries()
            if (not kind or entry.kind == kind) and (not channel or entry.channel in names)
        ]

    async def show(request: web.Request) -> web.Response:
        query = request.query
        text = page(chosen(request), query.get("kind", ""), query.get("channel", ""))
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def messages(request: web.Request) -> web.Response:
        return web.json_response({"messages": [asdict(entry) for entry in chosen(request)]})

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application(client_max_size=MAX_BODY)
    app.add_routes([web.get("/", show), web.get("/api/messages", messages), web.get("/healthz", health)])
    app.add_routes(PagerDuty(store, clock).routes())
    app.add_routes(Slack(store, slack_token, clock, limit or RateLimit()).routes())
    return app
