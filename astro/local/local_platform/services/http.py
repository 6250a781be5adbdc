"""Readiness over HTTP."""

from __future__ import annotations

import ssl

import httpx

from local_platform.errors import NotReadyError


def get(
    url: str,
    *,
    expect: tuple[int, ...] = (200,),
    headers: dict[str, str] | None = None,
    verify: ssl.SSLContext | bool = True,
    timeout: float = 5.0,
) -> httpx.Response:
    """GET a URL on loopback, proxies of the shell left aside.

    Raises:
        NotReadyError: no answer within `timeout` seconds, or another status than expected.
    """
    try:
        with httpx.Client(trust_env=False, timeout=timeout, verify=verify) as client:
            answer = client.get(url, headers=headers)
    except httpx.HTTPError as error:
        raise NotReadyError(f"{url}: {error or type(error).__name__}") from error
    if answer.status_code not in expect:
        raise NotReadyError(f"{url}: status {answer.status_code}: {answer.text[:200]}")
    return answer
