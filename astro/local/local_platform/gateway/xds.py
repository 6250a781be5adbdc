"""Configuration files that are moved into place, and Envoy's word on whether it took them.

Envoy reads a file again when it is moved over the old one, keeps its last good state when the new one is
bad, and says so only in counters and its log. So each publication carries a version that is a digest of its
content, and is over when the subscription's statistics show that version, or a new rejection.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_platform.gateway.admin import EnvoyAdmin

POLL_S = 0.01
ACKNOWLEDGE_TIMEOUT_S = 10.0


class ConfigurationRefused(Exception):
    """Envoy kept its old configuration; the message is what its log says."""


@dataclass(frozen=True)
class Subscription:
    """A file and the statistics that report on it."""

    path: Path
    stats: str


def document(resources: Iterable[dict[str, Any]]) -> tuple[str, str]:
    """A discovery response as text, and its version: equal resources have equal versions."""
    listed = list(resources)
    body = json.dumps(listed, sort_keys=True, separators=(",", ":"))
    version = hashlib.sha256(body.encode()).hexdigest()[:16]
    return json.dumps({"version_info": version, "resources": listed}, sort_keys=True, indent=1), version


def move_into_place(path: Path, text: str) -> None:
    """Replace a file in one step; a reader sees the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The temporary file lies outside of the folder that Envoy watches.
    temporary = path.parent.parent / f".{path.parent.name}-{path.name}.new"
    with temporary.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)


class Publisher:
    """Publishes documents to one Envoy and waits for its answer."""

    def __init__(self, admin: EnvoyAdmin, envoy_log: Path) -> None:
        self._admin = admin
        self._log = envoy_log
        self._texts: dict[Path, str] = {}

    def write(self, path: Path, resources: Iterable[dict[str, Any]]) -> bool:
        """Move the document into place without waiting; False when it is what already stands there."""
        text, _ = document(resources)
        if self._stands(path, text):
            return False
        self._move(path, text)
        return True

    async def publish(self, subscription: Subscription, resources: Iterable[dict[str, Any]]) -> bool:
        """Move the document into place and wait until Envoy has taken it; False when nothing changed.

        Raises ConfigurationRefused when Envoy keeps the old state, EnvoyUnreachable when it does not answer.
        """
        text, version = document(resources)
        if self._stands(subscription.path, text):
            return False
        before = await self._admin.stats(f"{subscription.stats}.")
        log_size = self._log.stat().st_size if self._log.exists() else 0
        self._move(subscription.path, text)
        deadline = asyncio.get_running_loop().time() + ACKNOWLEDGE_TIMEOUT_S
        while True:
            now = await self._admin.stats(f"{subscription.stats}.")
            if now.get(f"{subscription.stats}.version_text") == version:
                return True
            if _refusals(now, subscription.stats) > _refusals(before, subscription.stats):
                self._texts.pop(subscription.path)
                raise ConfigurationRefused(self._reason(log_size, subscription))
            if asyncio.get_running_loop().time() > deadline:
                self._texts.pop(subscription.path)
                raise ConfigurationRefused(
                    f"Envoy did not read {subscription.path.name} within {ACKNOWLEDGE_TIMEOUT_S:g} s"
                )
            await asyncio.sleep(POLL_S)

    def _stands(self, path: Path, text: str) -> bool:
        return self._texts.get(path) == text and path.exists()

    def _move(self, path: Path, text: str) -> None:
        move_into_place(path, text)
        self._texts[path] = text

    def _reason(self, offset: int, subscription: Subscription) -> str:
        """The warnings that Envoy wrote since `offset`; its log is where a file's refusal is explained."""
        if not self._log.exists():
            return f"Envoy refused {subscription.path.name}"
        with self._log.open("rb") as log:
            log.seek(offset)
            lines = log.read().decode("utf-8", "replace").splitlines()
        told = [line.rsplit("] ", 1)[-1] for line in lines if "rejected" in line or "failure" in line.lower()]
        return told[-1] if told else f"Envoy refused {subscription.path.name}; see {self._log.name}"


def _refusals(stats: dict[str, str], prefix: str) -> int:
    return sum(int(stats.get(f"{prefix}.{name}", "0")) for name in ("update_rejected", "update_failure"))
