"""Who asks: static tokens, tokens of service accounts, impersonation."""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .errors import unauthorized

JSON = dict[str, Any]

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
ANONYMOUS = "system:anonymous"


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def as_json(self) -> JSON:
        info: JSON = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        if self.groups:
            info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra}
        return info


def service_account(namespace: str, name: str, uid: str = "") -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid)


def read_token_file(path: Path) -> dict[str, User]:
    """Kubernetes' static token file: `token,user,uid,"group1,group2"`. Raises ValueError for a bad line."""
    users: dict[str, User] = {}
    with path.open(newline="") as lines:
        for number, row in enumerate(csv.reader(lines), start=1):
            if not row or row[0].startswith("#"):
                continue
            if len(row) < 3:
                raise ValueError(f"{path}:{number}: a line needs token, user and uid")
            token, name, uid, *rest = (part.strip() for part in row)
            groups = tuple(part.strip() for part in rest[0].split(",") if part.strip()) if rest else ()
            users[token] = User(name, (*groups, AUTHENTICATED), uid)
    return users


class ServiceAccountTokens:
    """Signed tokens of service accounts (JWT, HS256) with an expiry; the key lives in the state folder."""

    def __init__(self, key_file: Path, exists: Callable[[str, str, str], bool]) -> None:
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_bytes(secrets.token_bytes(32))
        self._key = key_file.read_bytes()
        self._exists = exists  # namespace, name, uid: whether the account is still that one

    @staticmethod
    def expiry(now: datetime, seconds: int) -> datetime:
        return now + timedelta(seconds=seconds)

    def issue(
        self, namespace: str, name: str, uid: str, now: datetime, seconds: int, audiences: list[str]
    ) -> str:
        claims = {
            "aud": audiences,
            "exp": int(self.expiry(now, seconds).timestamp()),
            "iat": int(now.timestamp()),
            "iss": "https://kubernetes.default.svc",
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def user(self, token: str, now: datetime) -> User | None:
        """The account behind a token; None when it is not ours, expired, or its account is gone."""
        signed, _, signature = token.rpartition(".")
        if not signed or not hmac.compare_digest(signature, self._signature(signed)):
            return None
        claims = json.loads(_decode(signed.partition(".")[2]))
        if claims["exp"] <= now.timestamp():
            return None
        account = claims["kubernetes.io"]
        namespace = account["namespace"]
        name, uid = account["serviceaccount"]["name"], account["serviceaccount"]["uid"]
        return service_account(namespace, name, uid) if self._exists(namespace, name, uid) else None

    def _signature(self, signed: str) -> str:
        digest = hmac.new(self._key, signed.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _encode(value: JSON) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Authenticator:
    """Turns the headers of a request into a user."""

    def __init__(self, users: Mapping[str, User], accounts: ServiceAccountTokens) -> None:
        self._users = users
        self._accounts = accounts

    def user(self, authorization: str, now: datetime) -> User:
        """Raises 401 for a token that nobody holds; no token at all is the anonymous user."""
        if not authorization:
            return User(ANONYMOUS, ("system:unauthenticated",))
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise unauthorized()
        known = self._users.get(token)
        if known is None:
            known = self._accounts.user(token, now)
        if known is None:
            raise unauthorized()
        return known


@dataclass(frozen=True)
class Impersonation:
    """The user that a request asks to be taken for."""

    name: str
    groups: tuple[str, ...]
    uid: str

    @classmethod
    def read(cls, headers: Any) -> Impersonation | None:
        name = headers.get("Impersonate-User")
        if not name:
            return None
        return cls(name, tuple(headers.getall("Impersonate-Group", ())), headers.get("Impersonate-Uid", ""))

    def user(self) -> User:
        groups = self.groups
        parts = self.name.split(":")
        if not groups and self.name.startswith("system:serviceaccount:") and len(parts) == 4:
            return service_account(parts[2], parts[3])
        if self.name != ANONYMOUS and AUTHENTICATED not in groups:
            groups = (*groups, AUTHENTICATED)
        return User(self.name, groups, self.uid)
