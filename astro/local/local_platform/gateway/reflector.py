"""List and watch of one Kubernetes resource into a dictionary that is always the newest known state."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient

from local_platform.gateway.translate import Json, Key, key_of

log = logging.getLogger(__name__)

WATCH_S = 240
RETRY_S = 0.5
GONE = 410


class ListTooOld(Exception):
    """The API server no longer has the events since our list: list again."""


class Reflector:
    """Keeps `objects` equal to what the API server has; `changed` is called after each difference.

    A lost connection keeps the last known state: routing by old knowledge beats routing to nothing.
    """

    def __init__(self, api: ApiClient, path: str, changed: Callable[[], None]) -> None:
        self._api = api
        self._path = path
        self._changed = changed
        self._complaint = ""
        self.objects: dict[Key, Json] = {}
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """List, then watch, until cancelled."""
        while True:
            try:
                version = await self._list()
                while True:
                    version = await self._watch(version)
            except ListTooOld:
                continue
            except (aiohttp.ClientError, TimeoutError, ConnectionError, ValueError) as error:
                self._complain(error)
                await asyncio.sleep(RETRY_S)

    def _complain(self, error: Exception) -> None:
        complaint = f"{self._path}: {error!r}; the last known state stays, trying again"
        if complaint != self._complaint:
            log.warning(complaint)
        self._complaint = complaint

    async def _get(self, query: dict[str, str]) -> aiohttp.ClientResponse:
        response: aiohttp.ClientResponse = await self._api.call_api(
            self._path,
            "GET",
            query_params=list(query.items()),
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=WATCH_S + 30 if "watch" in query else 10,
        )
        if response.status == GONE:
            response.release()
            raise ListTooOld(self._path)
        if response.status != 200:
            text = await response.text()
            raise ConnectionError(f"the API server answered {response.status}: {text[:200]}")
        return response

    async def _list(self) -> str:
        response = await self._get({})
        body = json.loads(await response.read())
        objects = {key_of(item): item for item in body["items"]}
        different = objects != self.objects
        self.objects = objects
        self._complaint = ""
        first = not self.synced.is_set()
        self.synced.set()
        if different or first:
            self._changed()
        return str(body["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Follow events from `version` until the server ends the watch; return where to go on."""
        response = await self._get(
            {
                "watch": "true",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(WATCH_S),
            }
        )
        try:
            while line := await response.content.readline():
                version = self._take(json.loads(line), version)
        finally:
            response.close()
        return version

    def _take(self, event: dict[str, Any], version: str) -> str:
        obj = event["object"]
        if event["type"] == "ERROR":
            if obj.get("code") == GONE:
                raise ListTooOld(self._path)
            raise ConnectionError(f"the watch ended with {obj.get('code')}: {obj.get('message')}")
        if event["type"] == "DELETED":
            self.objects.pop(key_of(obj), None)
            self._changed()
        elif event["type"] in {"ADDED", "MODIFIED"}:
            self.objects[key_of(obj)] = obj
            self._changed()
        return str(obj["metadata"].get("resourceVersion", version))
