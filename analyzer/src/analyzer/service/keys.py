"""API keys: the ones of the settings, and the ones of the store."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from analyzer.service.registry import Registry
from analyzer.settings import Settings, key_digest
from analyzer.storage.ports import Store
from analyzer.storage.records import ApiKey, NotFound, Scope

PREFIX = "llmsd_"
LONGEST = 200
"""Characters of an API key that are looked at."""


@dataclass(frozen=True)
class Caller:
    """Whose key came with a request."""

    key_id: str
    scopes: frozenset[Scope]
    stored: bool


class Keys:
    """Who may do what."""

    def __init__(self, settings: Settings, store: Store, registry: Registry) -> None:
        self._settings = settings
        self._store = store
        self._registry = registry

    def caller(self, key: str, now: datetime) -> Caller | None:
        """Whose key this is; None for an unknown, expired or revoked one."""
        if not key or len(key) > LONGEST:
            return None
        digest = key_digest(key)
        stored = self._registry.key(digest, now)
        if stored is not None:
            return Caller(stored.id, stored.scopes, stored=True)
        name = f"settings-{digest[:8]}"
        if _among(digest, self._settings.admin_key_digests):
            return Caller(name, frozenset(Scope), stored=False)
        if _among(digest, self._settings.key_digests):
            return Caller(name, frozenset({Scope.ANALYZE}), stored=False)
        return None

    async def create(self, client: str, scopes: Sequence[Scope], days: int | None) -> tuple[ApiKey, str]:
        """A new key; it is shown this once. Without `days` it is valid until it is revoked."""
        record, key = _new(client, frozenset(scopes), days)
        await self._store.create_key(record)
        await self._registry.refresh()
        return record, key

    async def rotate(self, key_id: str, days: int | None) -> tuple[ApiKey, str]:
        """A successor with the same client and scopes; the old key is valid for `key_overlap` more."""
        record, key = _new("successor", frozenset({Scope.ANALYZE}), days)
        await self._store.rotate_key(key_id, record, record.created_at + self._settings.key_overlap)
        await self._registry.refresh()
        return self._stored(record.id), key

    async def revoke(self, key_id: str) -> None:
        await self._store.revoke_key(key_id, datetime.now(UTC))
        await self._registry.refresh()

    async def known(self) -> tuple[ApiKey, ...]:
        """All keys of the store that end in the future or ended lately."""
        await self._registry.refresh()
        return self._registry.snapshot.keys

    def _stored(self, key_id: str) -> ApiKey:
        for key in self._registry.snapshot.keys:
            if key.id == key_id:
                return key
        raise NotFound(f"no key has the id {key_id!r}")


def _new(client: str, scopes: frozenset[Scope], days: int | None) -> tuple[ApiKey, str]:
    key = PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    end = now + timedelta(days=days) if days is not None else None
    return ApiKey(uuid4().hex[:12], client, key_digest(key), scopes, now, end), key


def _among(digest: str, known: frozenset[str]) -> bool:
    return any(hmac.compare_digest(digest, each) for each in known)
