"""How Slack's calls and answers look on the wire: arguments, message content, pages, objects."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from local_platform.inbox.store import Json

BOT_USER = "U0PLATFORM"

MAX_TEXT = 40_000
MAX_BLOCKS = 50


class SlackError(Exception):
    """An answer with `"ok": false`."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.answer = {"ok": False, "error": code, **more}


async def arguments_of(request: web.Request) -> Json:
    if request.method == "GET":
        return dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        return body
    if request.content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return {**request.query, **await request.post()}
    if request.can_read_body:
        raise SlackError("invalid_post_type")
    return dict(request.query)


def content_of(arguments: Json) -> Json:
    """Text, blocks, attachments and metadata of a message; in a form the last three are JSON in a field."""
    content: Json = {"text": str(arguments.get("text") or "")}
    for name in ("blocks", "attachments"):
        value = _decoded(arguments.get(name), f"invalid_{name}_format")
        if value:
            if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
                raise SlackError(f"invalid_{name}_format")
            content[name] = value
    blocks = content.get("blocks", [])
    if len(blocks) > MAX_BLOCKS or any("type" not in block for block in blocks):
        raise SlackError("invalid_blocks")
    metadata = _decoded(arguments.get("metadata"), "invalid_metadata_format")
    if metadata:
        payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
        if not isinstance(payload, dict) or not isinstance(metadata.get("event_type"), str):
            raise SlackError("invalid_metadata_format")
        content["metadata"] = {"event_type": metadata["event_type"], "event_payload": payload}
    if not content["text"] and not blocks and "attachments" not in content:
        raise SlackError("no_text")
    if len(content["text"]) > MAX_TEXT:
        raise SlackError("msg_too_long")
    return content


def _decoded(value: Any, error: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value else None
    except ValueError:
        raise SlackError(error) from None


def with_thread(message: Json, everything: list[Json]) -> Json:
    """A thread's first message carries what Slack says about its replies."""
    replies = [m for m in everything if m.get("thread_ts") == message["ts"] and m["ts"] != message["ts"]]
    if not replies:
        return message
    return {
        **message,
        "thread_ts": message["ts"],
        "reply_count": len(replies),
        "reply_users_count": 1,
        "latest_reply": replies[0]["ts"],
        "reply_users": [BOT_USER],
        "is_locked": False,
        "subscribed": False,
    }


def between(messages: list[Json], arguments: Json) -> list[Json]:
    inclusive = _true(arguments.get("inclusive"))
    oldest, latest = (_time(arguments.get(name)) for name in ("oldest", "latest"))

    def inside(message: Json) -> bool:
        ts = float(message["ts"])
        if inclusive:
            return (oldest is None or ts >= oldest) and (latest is None or ts <= latest)
        return (oldest is None or ts > oldest) and (latest is None or ts < latest)

    return [message for message in messages if inside(message)]


def _time(value: Any) -> float | None:
    try:
        return float(value) if value not in {None, "", "now"} else None
    except (TypeError, ValueError):
        raise SlackError("invalid_ts_latest") from None


def page_of(items: list[Json], arguments: Json, *, default: int) -> tuple[list[Json], bool, str]:
    try:
        limit = int(arguments.get("limit") or default)
        start = int(arguments.get("cursor") or 0)
    except ValueError:
        raise SlackError("invalid_cursor") from None
    if not 1 <= limit <= 999 and limit != default:
        raise SlackError("invalid_limit")
    more = start + limit < len(items)
    return items[start : start + limit], more, str(start + limit) if more else ""


def visible(message: Json, arguments: Json) -> Json:
    """Metadata is shown only to who asks for it."""
    if _true(arguments.get("include_all_metadata")):
        return message
    return {key: value for key, value in message.items() if key != "metadata"}


def _true(value: Any) -> bool:
    return value is True or str(value).lower() in {"1", "true"}


def channel_object(channel: Json) -> Json:
    return {
        "id": channel["id"],
        "name": channel["name"],
        "name_normalized": channel["name"],
        "created": channel["created"],
        "creator": BOT_USER,
        "is_channel": True,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": False,
        "is_archived": False,
        "is_general": False,
        "is_shared": False,
        "is_member": True,
        "num_members": 1,
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }
