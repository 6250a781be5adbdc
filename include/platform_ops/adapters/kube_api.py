"""Requests to the API servers of a kubeconfig: one client a context, errors in the terms of the core."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.config.config_exception import ConfigException

from platform_ops.core.errors import Conflict, NotFound, OpsError, PermanentError, Refused, Unavailable

FIELD_MANAGER = "platform-ops"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
DRY_RUN = {"dryRun": "All"}
_TIMEOUT = aiohttp.ClientTimeout(total=15)
_PLURALS = {"HTTPRoute": "httproutes", "NetworkPolicy": "networkpolicies"}


def object_path(api_version: str, kind: str, namespace: str, name: str = "") -> str:
    """Path of an object, or of the collection when `name` is empty.

    Plurals follow the rule that holds for every built-in kind that a service is deployed with; the exceptions
    are listed.
    """
    path = f"{_root(api_version)}/namespaces/{quote(namespace)}/{_plural(kind)}"
    return f"{path}/{quote(name)}" if name else path


def collection_path(api_version: str, kind: str) -> str:
    """Path of the objects of all namespaces."""
    return f"{_root(api_version)}/{_plural(kind)}"


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _plural(kind: str) -> str:
    return _PLURALS.get(kind, f"{kind.lower()}s")


class KubeApi:
    """The API servers behind a kubeconfig. Close it after use."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._clients: dict[str, client.ApiClient] = {}
        self._opening = asyncio.Lock()

    async def aclose(self) -> None:
        for opened in self._clients.values():
            await opened.close()
        self._clients.clear()

    async def get(self, context: str, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        return await self.request(context, "GET", path, query=query)

    async def find(self, context: str, path: str) -> dict[str, Any] | None:
        """The object; None when there is none."""
        try:
            return await self.request(context, "GET", path)
        except NotFound:
            return None

    async def patch(
        self,
        context: str,
        path: str,
        body: Mapping[str, Any],
        content_type: str = MERGE,
        *,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """`dry_run`: the answer is what the object would be, defaults and admission included; nothing is
        stored."""
        query = {"fieldManager": FIELD_MANAGER}
        if content_type == APPLY:
            query["force"] = "true"
        if dry_run:
            query |= DRY_RUN
        return await self.request(context, "PATCH", path, query=query, body=body, content_type=content_type)

    async def request(
        self,
        context: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """One exchange; raises NotFound, Conflict, Refused or Unavailable with the API server's own words."""
        opened = await self._client(context)
        try:
            response = await opened.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=_TIMEOUT,
            )
            status, raw = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as lost:
            raise Unavailable(
                f"the API server of context {context} does not answer: {_words(lost)}"
            ) from lost
        except client.ApiException as unsent:
            raise Refused(f"{method} {path}: {unsent.reason}") from unsent
        answer = _decoded(raw)
        if 200 <= status < 300:
            return answer
        raise _error(context, method, path, status, answer)

    async def lines(self, context: str, path: str, query: Mapping[str, str]) -> AsyncGenerator[str]:
        """The lines of a text answer as they come; with `follow` until the other side ends it."""
        opened = await self._client(context)
        try:
            response = await opened.call_api(
                path,
                "GET",
                query_params=list(query.items()),
                header_params={"Accept": "text/plain, application/json"},
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=aiohttp.ClientTimeout(total=None, connect=15),
            )
            if response.status != 200:
                answer = _decoded(await response.read())
                raise _error(context, "GET", path, response.status, answer)
            rest = b""
            # Not by the client's own lines: it refuses those that are longer than its buffer.
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace")
            if rest:
                yield rest.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as lost:
            raise Unavailable(f"the API server of context {context} broke off: {_words(lost)}") from lost

    async def _client(self, context: str) -> client.ApiClient:
        async with self._opening:
            if context not in self._clients:
                self._clients[context] = await self._open(context)
            return self._clients[context]

    async def _open(self, context: str) -> client.ApiClient:
        try:
            return await config.new_client_from_config(str(self._kubeconfig), context=context)
        except (ConfigException, OSError) as wrong:
            raise PermanentError(
                f"kubeconfig {self._kubeconfig}: no usable context {context!r} ({wrong}); "
                "set PLATFORM_OPS_KUBECONFIG to a file that has it"
            ) from wrong


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"message": raw.decode(errors="replace")[:500]}


def _error(context: str, method: str, path: str, status: int, answer: Mapping[str, Any]) -> OpsError:
    text = f"{context}: {answer.get('message') or f'{method} {path}: HTTP {status}'}"
    if status == 404:
        return NotFound(text)
    if status == 409:
        return Conflict(text)
    # 410: the version that was asked for is forgotten, and a new list tells a newer one.
    if status in (410, 429) or status >= 500:
        return Unavailable(text)
    return Refused(text)
