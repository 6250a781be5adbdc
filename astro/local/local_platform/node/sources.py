"""What a pod's containers and volumes take from the API: config maps, secrets, tokens, registry passwords."""

from __future__ import annotations

import base64
import json
import time

import aiohttp

from local_platform.cluster.controllers.api import ApiClient, ApiError
from local_platform.cluster.controllers.resources import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, Object
from local_platform.node.volumes import VolumeError

TOKEN_RENEWAL = 0.8
CONFIG_AGE = 2.0


class PodSources:
    """Looks things up in the pod's own namespace, and nowhere else."""

    def __init__(self, client: ApiClient, pod: Object) -> None:
        self._client = client
        self._pod = pod
        self._namespace: str = pod["metadata"]["namespace"]
        self._tokens: dict[str, tuple[str, float]] = {}
        self._found: dict[tuple[str, str], tuple[Object | None, float]] = {}

    async def lookup(self, kind: str, name: str) -> Object | None:
        """The "configmap" or "secret" of that name, asked for at most every two seconds."""
        known = self._found.get((kind, name))
        if known and known[1] > time.monotonic():
            return known[0]
        resource = CONFIG_MAPS if kind == "configmap" else SECRETS
        item = await self._client.find(resource, self._namespace, name)
        if item is not None:
            item["kind"] = resource.kind
        self._found[(kind, name)] = (item, time.monotonic() + CONFIG_AGE)
        return item

    async def token(self, projection: Object) -> str:
        """A service account token bound to the pod, renewed after four fifths of its life.

        Raises:
            VolumeError: the API server gives none.
        """
        audience = projection.get("audience", "")
        known = self._tokens.get(audience)
        if known and known[1] > time.time():
            return known[0]
        seconds = projection.get("expirationSeconds", 3600)
        account = self._pod["spec"].get("serviceAccountName") or "default"
        metadata = self._pod["metadata"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": bound,
            },
        }
        path = SERVICE_ACCOUNTS.path(self._namespace, account, "token")
        try:
            answer = await self._client.request("POST", path, request)
        except ApiError as error:
            raise VolumeError(f"failed to fetch token: {error.message}") from error
        token: str = answer["status"]["token"]
        self._tokens[audience] = (token, time.time() + seconds * TOKEN_RENEWAL)
        return token

    async def registry_credentials(self) -> dict[str, aiohttp.BasicAuth]:
        """User and password by registry host, from the pod's imagePullSecrets."""
        result: dict[str, aiohttp.BasicAuth] = {}
        for reference in self._pod["spec"].get("imagePullSecrets") or []:
            secret = await self.lookup("secret", reference["name"])
            raw = (secret or {}).get("data", {}).get(".dockerconfigjson")
            if not raw:
                continue
            for host, entry in json.loads(base64.b64decode(raw)).get("auths", {}).items():
                user, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
                host = host.removeprefix("https://").removeprefix("http://").partition("/")[0]
                result[host] = aiohttp.BasicAuth(
                    entry.get("username") or user, entry.get("password") or password
                )
        return result
