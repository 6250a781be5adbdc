"""Slack's Web API, the part that a program which posts and verifies pages needs.

Field names, error codes and HTTP statuses follow the method pages of docs.slack.dev: an error is HTTP 200
with `"ok": false`, except the rate limit (429 with `Retry-After`).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from local_platform.inbox.slack_wire import (
    BOT_USER,
    SlackError,
    arguments_of,
    between,
    channel_object,
    content_of,
    page_of,
    visible,
    with_thread,
)
from local_platform.inbox.store import Json, Store

TEAM, BOT, APP = "T0LOCAL", "B0PLATFORM", "A0PLATFORM"
BOT_NAME = "platform-ops"

CHANNEL_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")

POST_RATE_PER_S = 1.0
POST_BURST = 20
"""Slack takes about one message a second and channel and short bursts, of a size that is not published."""


class RateLimited(Exception):
    """Too many messages in this channel; try again after so many seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"retry after {retry_after} s")
        self.retry_after = retry_after


class RateLimit:
    """A token bucket a channel; times are arguments."""

    def __init__(self, rate: float = POST_RATE_PER_S, burst: int = POST_BURST) -> None:
        self._rate, self._burst = rate, burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, channel: str, now: float) -> None:
        """Raises RateLimited when the bucket is empty."""
        level, since = self._buckets.get(channel, (float(self._burst), now))
        level = min(float(self._burst), level + max(0.0, now - since) * self._rate)
        if level < 1:
            self._buckets[channel] = (level, now)
            raise RateLimited(max(1, round((1 - level) / self._rate)))
        self._buckets[channel] = (level - 1, now)


class Slack:
    """The methods. One bot token is valid."""

    def __init__(self, store: Store, token: str, clock: Callable[[], float], limit: RateLimit) -> None:
        self._store = store
        self._token = token
        self._clock = clock
        self._limit = limit
        self._methods: dict[str, Callable[[Json], Json]] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post_message,
            "chat.update": self._update,
            "conversations.create": self._create,
            "conversations.history": self._history,
            "conversations.list": self._list,
            "conversations.replies": self._replies,
            "users.lookupByEmail": self._lookup_by_email,
        }

    def routes(self) -> list[web.RouteDef]:
        handler: Callable[[web.Request], Awaitable[web.Response]] = self.answer
        return [web.get("/api/{method}", handler), web.post("/api/{method}", handler)]

    async def answer(self, request: web.Request) -> web.Response:
        try:
            arguments = await arguments_of(request)
            self._check_token(request, arguments)
            method = self._methods.get(request.match_info["method"])
            if method is None:
                raise SlackError("unknown_method", req_method=request.match_info["method"])
            return web.json_response({"ok": True, **method(arguments)})
        except SlackError as error:
            return web.json_response(error.answer)
        except RateLimited as limited:
            return web.json_response(
                {"ok": False, "error": "ratelimited"},
                status=429,
                headers={"Retry-After": str(limited.retry_after)},
            )

    def _check_token(self, request: web.Request, arguments: Json) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        token = given if scheme.lower() == "bearer" else str(arguments.get("token", ""))
        if not token:
            raise SlackError("not_authed")
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise SlackError("invalid_auth")

    def _auth_test(self, arguments: Json) -> Json:
        return {
            "url": "https://local-platform.slack.example.com/",
            "team": "Local platform",
            "user": BOT_NAME,
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": BOT,
            "is_enterprise_install": False,
        }

    def _post_message(self, arguments: Json) -> Json:
        channel = self._channel(arguments, by_name=True)
        content = content_of(arguments)
        thread = arguments.get("thread_ts")
        if thread:
            parent = self._store.message(channel["id"], str(thread))
            if parent is None:
                raise SlackError("thread_not_found")
            content["thread_ts"] = parent.get("thread_ts", thread)
        self._limit.take(channel["id"], self._clock())
        message = {
            "type": "message",
            "user": BOT_USER,
            "bot_id": BOT,
            "app_id": APP,
            "team": TEAM,
            "bot_profile": {"id": BOT, "app_id": APP, "name": BOT_NAME, "deleted": False, "team_id": TEAM},
            **content,
        }
        ts = self._store.post(channel["id"], message, self._clock())
        return {"channel": channel["id"], "ts": ts, "message": self._store.message(channel["id"], ts)}

    def _update(self, arguments: Json) -> Json:
        channel = self._channel(arguments, by_name=False)
        ts = str(arguments.get("ts", ""))
        message = self._store.message(channel["id"], ts)
        if message is None:
            raise SlackError("message_not_found")
        edited = {"user": BOT_USER, "ts": f"{int(self._clock())}.000000"}
        message = {**message, **content_of(arguments), "edited": edited}
        self._store.replace(channel["id"], ts, message)
        return {"channel": channel["id"], "ts": ts, "text": message["text"], "message": message}

    def _create(self, arguments: Json) -> Json:
        name = str(arguments.get("name", ""))
        if not name:
            raise SlackError("invalid_name_required")
        if len(name) > 80 or not set(name) <= CHANNEL_NAME:
            raise SlackError("invalid_name_specials")
        channel = self._store.add_channel(name, self._clock())
        if channel is None:
            raise SlackError("name_taken")
        return {"channel": channel_object(channel)}

    def _history(self, arguments: Json) -> Json:
        channel = self._channel(arguments, by_name=False)
        everything = self._store.messages(channel["id"])
        parents = [with_thread(m, everything) for m in everything if m.get("thread_ts") in {None, m["ts"]}]
        page, more, cursor = page_of(between(parents, arguments), arguments, default=100)
        return {
            "messages": [visible(message, arguments) for message in page],
            "has_more": more,
            "pin_count": 0,
            "channel_actions_ts": None,
            "channel_actions_count": 0,
            **({"response_metadata": {"next_cursor": cursor}} if more else {}),
        }

    def _replies(self, arguments: Json) -> Json:
        channel = self._channel(arguments, by_name=False)
        ts = str(arguments.get("ts", ""))
        everything = self._store.messages(channel["id"])
        thread = [m for m in reversed(everything) if ts in {m["ts"], m.get("thread_ts")}]
        if not thread:
            raise SlackError("thread_not_found")
        thread[0] = with_thread(thread[0], everything)
        page, more, cursor = page_of(between(thread, arguments), arguments, default=1000)
        return {
            "messages": [visible(message, arguments) for message in page],
            "has_more": more,
            **({"response_metadata": {"next_cursor": cursor}} if more else {}),
        }

    def _list(self, arguments: Json) -> Json:
        page, _, cursor = page_of(self._store.channels(), arguments, default=100)
        return {
            "channels": [channel_object(channel) for channel in page],
            "response_metadata": {"next_cursor": cursor},
        }

    def _lookup_by_email(self, arguments: Json) -> Json:
        user = self._store.user(str(arguments.get("email", "")))
        if user is None:
            raise SlackError("users_not_found")
        profile = {"real_name": user["name"], "display_name": user["name"], "email": user["email"]}
        return {
            "user": {
                "id": user["id"],
                "team_id": TEAM,
                "name": user["name"],
                "real_name": user["name"],
                "deleted": False,
                "is_bot": False,
                "profile": {**profile, "team": TEAM},
            }
        }

    def _channel(self, arguments: Json, *, by_name: bool) -> Json:
        """The channel of a call; only chat.postMessage takes a name in place of the id."""
        reference = str(arguments.get("channel", ""))
        channel = self._store.channel(reference)
        if channel is None or (not by_name and channel["id"] != reference):
            raise SlackError("channel_not_found")
        return channel
