"""Pages in Slack: chat.postMessage, conversations.history, conversations.list (https://api.slack.com/methods).

A page's id travels in the message's metadata: a message whose answer was lost is found and not sent twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx

from platform_ops.core.errors import Refused, Unavailable

EVENT_TYPE = "platform_ops_page"
DEFAULT_API_URL = "https://slack.com/api"
_HISTORY_PAGES = 5
_PASSING = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
_TO_DO = {
    "invalid_auth": "set PLATFORM_OPS_SLACK_TOKEN to a valid bot token",
    "not_authed": "set PLATFORM_OPS_SLACK_TOKEN",
    "token_revoked": "set PLATFORM_OPS_SLACK_TOKEN to a new bot token",
    "channel_not_found": "create the channel, or correct pages.slack in the catalog",
    "not_in_channel": "invite the bot into the channel",
    "is_archived": "unarchive the channel, or correct pages.slack in the catalog",
    "missing_scope": "give the bot the scopes chat:write, channels:read and channels:history",
}


class SlackChat:
    """The `Chat` port over Slack's Web API."""

    def __init__(
        self, client: httpx.AsyncClient, token: str, api_url: str = DEFAULT_API_URL, *, page_size: int = 200
    ) -> None:
        self._client = client
        self._token = token
        self._api_url = api_url.rstrip("/")
        self._page_size = str(page_size)
        self._channel_ids: dict[str, str] = {}

    async def find(self, channel: str, page_id: str) -> str | None:
        where = await self._channel_id(channel)
        query = {"channel": where, "include_all_metadata": "true", "limit": self._page_size}
        async for answer in self._pages("conversations.history", query, _HISTORY_PAGES):
            for message in answer.get("messages", ()):
                metadata = message.get("metadata", {})
                if metadata.get("event_payload", {}).get("page_id") == page_id:
                    return str(message["ts"])
        return None

    async def post(self, channel: str, page_id: str, text: str, blocks: Sequence[Mapping[str, Any]]) -> str:
        message = {
            "channel": channel,
            "text": text,
            "blocks": list(blocks),
            "metadata": {"event_type": EVENT_TYPE, "event_payload": {"page_id": page_id}},
            "unfurl_links": False,
        }
        answer = await self._call("POST", "chat.postMessage", json=message)
        self._channel_ids.setdefault(channel, answer["channel"])
        return str(answer["ts"])

    async def _channel_id(self, channel: str) -> str:
        if channel not in self._channel_ids:
            query = {"exclude_archived": "true", "types": "public_channel,private_channel", "limit": "999"}
            async for answer in self._pages("conversations.list", query, 100):
                self._channel_ids |= {f"#{one['name']}": one["id"] for one in answer["channels"]}
                if channel in self._channel_ids:
                    break
            else:
                raise _refusal("conversations.list", "channel_not_found", channel)
        return self._channel_ids[channel]

    async def _pages(
        self, method: str, query: Mapping[str, str], limit: int
    ) -> AsyncIterator[dict[str, Any]]:
        cursor = ""
        for _ in range(limit):
            answer = await self._call("GET", method, params={**query, "cursor": cursor} if cursor else query)
            yield answer
            cursor = answer.get("response_metadata", {}).get("next_cursor", "")
            if not cursor:
                return

    async def _call(self, verb: str, method: str, **request: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            response = await self._client.request(
                verb, f"{self._api_url}/{method}", headers=headers, **request
            )
        except httpx.HTTPError as lost:
            why = str(lost) or type(lost).__name__
            raise Unavailable(f"Slack {method}: {why}") from lost
        if response.status_code == 429:
            raise Unavailable(
                f"Slack {method}: rate limited; again in {response.headers.get('retry-after', '?')} s"
            )
        if response.status_code >= 500:
            raise Unavailable(f"Slack {method}: HTTP {response.status_code}")
        answer = _decoded(response)
        if not answer.get("ok"):
            error = answer.get("error", f"HTTP {response.status_code}")
            if error in _PASSING:
                raise Unavailable(f"Slack {method}: {error}")
            raise _refusal(method, error, str(request.get("json", {}).get("channel", "")))
        return answer


def _decoded(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _refusal(method: str, error: str, channel: str) -> Refused:
    about = f" for {channel}" if channel else ""
    return Refused(
        f"Slack {method}{about}: {error}; {_TO_DO.get(error, 'see the method’s page for the error')}"
    )
