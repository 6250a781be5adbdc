"""Envoy's admin interface: what of it the gateway asks."""

from __future__ import annotations

import aiohttp

STAT_TIMEOUT_S = 5.0


class EnvoyUnreachable(ConnectionError):
    """Envoy's admin port does not answer."""


class EnvoyAdmin:
    """Client of the admin port on loopback."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self.base = f"http://127.0.0.1:{port}"

    async def stats(self, prefix: str) -> dict[str, str]:
        """All statistics whose name starts with `prefix`, text ones without their quotes."""
        text = await self._request("GET", "/stats", {"filter": f"^{_escape(prefix)}"})
        pairs = (line.split(": ", 1) for line in text.splitlines() if ": " in line)
        return {name: value.strip('"') for name, value in pairs}

    async def is_live(self) -> bool:
        """True when Envoy has its first configuration and accepts requests."""
        try:
            return (await self._request("GET", "/ready")).strip() == "LIVE"
        except EnvoyUnreachable:
            return False

    async def requests_in_flight(self, stat_prefix: str) -> int:
        name = f"http.{stat_prefix}.downstream_rq_active"
        return int((await self.stats(name)).get(name, "0"))

    async def start_draining(self) -> None:
        """Accept no new connection; tell open ones to close after their next response."""
        await self._request("POST", "/healthcheck/fail")
        await self._request("POST", "/drain_listeners", {"inboundonly": ""})

    async def quit(self) -> None:
        await self._request("POST", "/quitquitquit")

    async def _request(self, method: str, path: str, params: dict[str, str] | None = None) -> str:
        try:
            timeout = aiohttp.ClientTimeout(total=STAT_TIMEOUT_S)
            async with self._session.request(
                method, self.base + path, params=params, timeout=timeout
            ) as response:
                text = await response.text()
                # /ready answers 503 with the state as its body.
                if response.status not in {200, 503}:
                    raise EnvoyUnreachable(f"Envoy's admin port answered {response.status} to {path}: {text}")
                return text
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EnvoyUnreachable(f"Envoy's admin port {self.base} does not answer: {error!r}") from error


def _escape(text: str) -> str:
    return "".join(f"\\{char}" if char in ".+*?()[]{}|^$\\" else char for char in text)
