"""A small asynchronous client of the Kubernetes API for programs that follow it for a long time."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from local_platform.cluster.controllers.resources import Object, Resource

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30)
WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=360)


class ApiError(Exception):
    """The API server answered with a Status instead of the object."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409

    @property
    def namespace_ends(self) -> bool:
        """Nothing can be created any more because the namespace is being deleted."""
        return self.status == 403 and "because it is being terminated" in self.message


class ApiUnavailableError(Exception):
    """The API server could not be reached; whoever asked tries again."""


class ApiClient:
    """One connection pool to one API server. `component` appears as field manager and user agent."""

    def __init__(self, session: aiohttp.ClientSession, server: str, component: str) -> None:
        self._session = session
        self.server = server
        self.component = component

    @classmethod
    @asynccontextmanager
    async def from_kubeconfig(cls, path: Path, component: str) -> AsyncIterator[ApiClient]:
        """A client for the kubeconfig's current context: TLS, bearer token or client certificate."""
        cluster, user = _current_context(path)
        headers = {"User-Agent": component, "Accept": "application/json"}
        if token := user.get("token"):
            headers["Authorization"] = f"Bearer {token}"
        connector = aiohttp.TCPConnector(ssl=_ssl_context(cluster, user, path.parent), limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            yield cls(session, cluster["server"].rstrip("/"), component)

    def named(self, component: str) -> ApiClient:
        """The same connections under another component's name."""
        return ApiClient(self._session, self.server, component)

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        return await self.request("GET", resource.path(namespace, name))

    async def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object, or None when there is none of that name."""
        try:
            return await self.get(resource, namespace, name)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def list(self, resource: Resource, namespace: str = "", **query: str) -> Object:
        return await self.request("GET", resource.path(namespace), query=query)

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return await self.request("POST", resource.path(namespace), body)

    async def replace(
        self, resource: Resource, namespace: str, name: str, body: Object, subresource: str = ""
    ) -> Object:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return await self.request("PUT", resource.path(namespace, name, subresource), body)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object,
        *,
        subresource: str = "",
        kind: str = MERGE_PATCH,
    ) -> Object:
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, body, content_type=kind)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> None:
        """Delete; an object that is already gone, or is another one by now, is no error."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if propagation:
            options["propagationPolicy"] = propagation
        try:
            await self.request("DELETE", resource.path(namespace, name), options)
        except ApiError as error:
            if not error.not_found and not (uid and error.conflict):
                raise

    async def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """One request.

        Raises:
            ApiError: the server refused.
            ApiUnavailableError: nobody answered.
        """
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if body is not None else {}
        try:
            async with self._session.request(
                method, self.server + path, params=query, data=data, headers=headers, timeout=REQUEST_TIMEOUT
            ) as response:
                answer: Object = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as error:
            raise ApiUnavailableError(
                f"{method} {self.server}{path}: {error or type(error).__name__}"
            ) from error
        if response.status >= 400:
            raise _as_error(response.status, answer)
        return answer

    async def text(self, path: str, query: dict[str, str] | None = None) -> str:
        """The body of a GET that is no JSON, such as a log."""
        try:
            url = self.server + path
            async with self._session.get(url, params=query, timeout=REQUEST_TIMEOUT) as response:
                body = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiUnavailableError(f"GET {self.server}{path}: {error or type(error).__name__}") from error
        if response.status >= 400:
            raise ApiError(response.status, response.reason or "", body)
        return body

    async def watch(self, path: str, query: dict[str, str]) -> AsyncIterator[tuple[str, Object]]:
        """Events of one watch until the server ends it.

        Raises:
            ApiError: also for an ERROR event, such as 410 Expired.
            ApiUnavailableError: the connection broke.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "300", **query}
        try:
            async with self._session.get(self.server + path, params=query, timeout=WATCH_TIMEOUT) as response:
                if response.status >= 400:
                    raise _as_error(response.status, await response.json(content_type=None))
                async for line in _lines(response.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _as_error(event["object"].get("code", 500), event["object"])
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiUnavailableError(f"watch {path}: {error or type(error).__name__}") from error


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's own readline stops at 64 KiB."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line


def _as_error(status: int, answer: Any) -> ApiError:
    if not isinstance(answer, dict):
        return ApiError(status, "Unknown", str(answer))
    return ApiError(status, answer.get("reason", ""), answer.get("message", ""))


def _current_context(path: Path) -> tuple[Object, Object]:
    config = yaml.safe_load(path.read_text())
    contexts = {entry["name"]: entry["context"] for entry in config["contexts"]}
    context = contexts[config["current-context"]]
    clusters = {entry["name"]: entry["cluster"] for entry in config["clusters"]}
    users = {entry["name"]: entry["user"] for entry in config["users"]}
    return clusters[context["cluster"]], users[context["user"]]


def _ssl_context(cluster: Object, user: Object, folder: Path) -> ssl.SSLContext | bool:
    if not cluster["server"].startswith("https:"):
        return False
    context = ssl.create_default_context()
    if data := cluster.get("certificate-authority-data"):
        context.load_verify_locations(cadata=base64.b64decode(data).decode())
    elif file := cluster.get("certificate-authority"):
        context.load_verify_locations(folder / file)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate := user.get("client-certificate"):
        context.load_cert_chain(folder / certificate, folder / user["client-key"])
    return context
