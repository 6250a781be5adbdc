"""PagerDuty's Events API v2: `POST /v2/enqueue` (developer.pagerduty.com, "Send an Event")."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

from aiohttp import web

from local_platform.inbox.store import Json, Store

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")
ROUTING_KEY_LENGTH = 32
MAX_KEY, MAX_SUMMARY = 255, 1024
MAX_BYTES = 512 * 1024


class PagerDuty:
    """Takes events; which incident they belong to is decided by routing key and dedup key."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v2/enqueue", self.enqueue)]

    async def enqueue(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > MAX_BYTES:
            return web.json_response({"status": "invalid event", "message": "Event is too large"}, status=413)
        try:
            event = json.loads(body)
        except ValueError:
            event = None
        problems = problems_of(event) if isinstance(event, dict) else ["Event is not a JSON object"]
        if problems or not isinstance(event, dict):
            answer = {"status": "invalid event", "message": "Event object is invalid", "errors": problems}
            return web.json_response(answer, status=400)
        dedup_key = event.get("dedup_key") or uuid.uuid4().hex
        self._store.add_event(event, dedup_key, self._clock())
        return web.json_response(
            {"status": "success", "message": "Event processed", "dedup_key": dedup_key}, status=202
        )


def problems_of(event: Json) -> list[str]:
    """What is wrong with an event, in the words of the real service where they are known."""
    problems = []
    key = event.get("routing_key")
    if not isinstance(key, str):
        problems.append("'routing_key' is missing or blank")
    elif len(key) != ROUTING_KEY_LENGTH:
        problems.append(f"Length of 'routing_key' is incorrect (should be {ROUTING_KEY_LENGTH} characters)")
    action = event.get("event_action")
    if action not in ACTIONS:
        problems.append(f"'event_action' is not one of {', '.join(ACTIONS)}")
    dedup_key = event.get("dedup_key")
    if dedup_key is not None and (not isinstance(dedup_key, str) or len(dedup_key) > MAX_KEY):
        problems.append(f"'dedup_key' is not a string of up to {MAX_KEY} characters")
    if action in {"acknowledge", "resolve"} and not dedup_key:
        problems.append("'dedup_key' is missing or blank")
    if action == "trigger":
        problems += _payload_problems(event.get("payload"))
    return problems


def _payload_problems(payload: object) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    problems = [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source", "severity")
        if not payload.get(name)
    ]
    if payload.get("severity") and payload["severity"] not in SEVERITIES:
        problems.append(f"'payload.severity' is not one of {', '.join(SEVERITIES)}")
    if len(str(payload.get("summary") or "")) > MAX_SUMMARY:
        problems.append(f"'payload.summary' is longer than {MAX_SUMMARY} characters")
    return problems
