"""What the service is told from outside: environment variables, read once at start."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from limits import parse

from analyzer.engine.privacy import Fingerprinter
from analyzer.engine.second_opinion import SecondOpinion

DEVELOPMENT_KEY = "dev-key-12345"
BUILD_FILE = Path(__file__).parents[2] / "build.json"


class SettingsError(Exception):
    """The service cannot start as it was told; the message says what to set."""


def key_digest(key: str) -> str:
    """What is kept of an API key. The keys are long and random, so that a plain hash is enough."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Settings:
    """Settings of one service process."""

    environment: str = "development"
    """`development`, `staging` or `production` (ANALYZER_ENV, else PLATFORM_ENVIRONMENT)."""
    key_digests: frozenset[str] = frozenset()
    """SHA-256 of the API keys with scope `analyze` (ANALYZER_API_KEYS, separated by commas)."""
    admin_key_digests: frozenset[str] = frozenset()
    """SHA-256 of the API keys with all scopes: who makes the first keys (ANALYZER_ADMIN_KEYS)."""
    fingerprint: Fingerprinter = field(default_factory=Fingerprinter.ephemeral)
    """ANALYZER_FINGERPRINT_KEY; without it fingerprints are comparable within one process only."""
    database_url: str = field(default="", repr=False)
    """PostgreSQL: versions, experiments, keys, jobs, counts (ANALYZER_DATABASE_URL); empty: in process."""
    redis_url: str = field(default="", repr=False)
    """Redis for verdicts and rate limits (ANALYZER_REDIS_URL); empty: in process."""
    rate_limit: str = "6000/minute"
    """Values that a key may send (ANALYZER_RATE_LIMIT), as `limits` writes it."""
    cache_lifetime: timedelta = timedelta(days=1)
    """How long Redis keeps a verdict (ANALYZER_CACHE_SECONDS)."""
    key_overlap: timedelta = timedelta(days=1)
    """How long a key is valid beside its successor (ANALYZER_KEY_OVERLAP_SECONDS)."""
    max_body: int = 65_536
    """Bytes of a request body; more is answered with 413 (ANALYZER_MAX_BODY_BYTES)."""
    max_text: int = 1 << 20
    """Bytes of a body of `/analyze/text` and `/analyze/batch` (ANALYZER_MAX_TEXT_BYTES)."""
    max_training: int = 4 << 20
    """Bytes of a body of `/train` (ANALYZER_MAX_TRAINING_BYTES)."""
    workers: int = 2
    """Threads that analyse (ANALYZER_WORKERS)."""
    max_waiting: int = 64
    """Requests that may wait for a thread; more are answered with 429 (ANALYZER_MAX_WAITING)."""
    drain_delay: timedelta = timedelta(seconds=5)
    """Between SIGTERM and the last new request: what Kubernetes needs to remove the endpoint
    (ANALYZER_DRAIN_SECONDS)."""
    opinion: SecondOpinion | None = None
    """Who is asked about uncertain values, masked (ANALYZER_SECOND_OPINION_URL, _MODEL, _KEY, _TIMEOUT)."""
    revision: str = "unknown"
    """The commit that the image was built from."""

    def __post_init__(self) -> None:
        if not self.key_digests | self.admin_key_digests:
            raise SettingsError(
                f"no API keys for environment {self.environment!r}: set ANALYZER_API_KEYS, "
                "or ANALYZER_ENV=development to use the development key"
            )

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ, build_file: Path = BUILD_FILE) -> Settings:
        """Reads the variables named above; raises `SettingsError` for one that cannot be understood."""
        environment = env.get("ANALYZER_ENV") or env.get("PLATFORM_ENVIRONMENT") or "development"
        keys, admin_keys = _keys(env, environment)
        return cls(
            environment=environment,
            key_digests=frozenset(map(key_digest, keys)),
            admin_key_digests=frozenset(map(key_digest, admin_keys)),
            fingerprint=_fingerprint(env),
            database_url=env.get("ANALYZER_DATABASE_URL", ""),
            redis_url=_redis_url(env),
            rate_limit=_rate_limit(env),
            cache_lifetime=timedelta(seconds=_number(env, "ANALYZER_CACHE_SECONDS", 86_400, least=1)),
            key_overlap=timedelta(seconds=_number(env, "ANALYZER_KEY_OVERLAP_SECONDS", 86_400, least=0)),
            max_body=_number(env, "ANALYZER_MAX_BODY_BYTES", 65_536, least=1024),
            max_text=_number(env, "ANALYZER_MAX_TEXT_BYTES", 1 << 20, least=1024),
            max_training=_number(env, "ANALYZER_MAX_TRAINING_BYTES", 4 << 20, least=1024),
            workers=_number(env, "ANALYZER_WORKERS", 2, least=1),
            max_waiting=_number(env, "ANALYZER_MAX_WAITING", 64, least=0),
            drain_delay=timedelta(seconds=_number(env, "ANALYZER_DRAIN_SECONDS", 5, least=0)),
            opinion=_opinion(env),
            revision=_revision(build_file),
        )


def _keys(env: Mapping[str, str], environment: str) -> tuple[list[str], list[str]]:
    keys = [key.strip() for key in env.get("ANALYZER_API_KEYS", "").split(",") if key.strip()]
    admin_keys = [key.strip() for key in env.get("ANALYZER_ADMIN_KEYS", "").split(",") if key.strip()]
    if not keys and not admin_keys and environment == "development":
        return [DEVELOPMENT_KEY], [DEVELOPMENT_KEY]
    if DEVELOPMENT_KEY in keys + admin_keys and environment != "development":
        raise SettingsError(
            f"ANALYZER_API_KEYS or ANALYZER_ADMIN_KEYS holds the public development key"
            f" in environment {environment!r}"
        )
    return keys, admin_keys


def _fingerprint(env: Mapping[str, str]) -> Fingerprinter:
    key = env.get("ANALYZER_FINGERPRINT_KEY", "")
    if key:
        return Fingerprinter(key.encode())
    if env.get("ANALYZER_DATABASE_URL") or env.get("ANALYZER_REDIS_URL"):
        raise SettingsError(
            "ANALYZER_DATABASE_URL or ANALYZER_REDIS_URL is set without ANALYZER_FINGERPRINT_KEY:"
            " all processes that share them must name a value alike; set one key for all"
        )
    return Fingerprinter.ephemeral()


def _opinion(env: Mapping[str, str]) -> SecondOpinion | None:
    try:
        return SecondOpinion.from_environment(env)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _redis_url(env: Mapping[str, str]) -> str:
    url = env.get("ANALYZER_REDIS_URL", "")
    if url and not url.startswith(("redis://", "rediss://")):
        raise SettingsError("ANALYZER_REDIS_URL: a URL that begins with redis:// or rediss:// is needed")
    return url


def _rate_limit(env: Mapping[str, str]) -> str:
    text = env.get("ANALYZER_RATE_LIMIT", "6000/minute")
    try:
        if parse(text).amount < 1:
            raise ValueError("nothing is allowed")
    except ValueError as error:
        raise SettingsError(f"ANALYZER_RATE_LIMIT: such as 6000/minute is needed, got {text!r}") from error
    return text


def _number(env: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = env.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{name}: a whole number of at least {least} is needed, got {text!r}")
    return int(text)


def _revision(build_file: Path) -> str:
    """The revision label of the image, written beside the application by the build; else `unknown`."""
    if not build_file.is_file():
        return "unknown"
    labels = json.loads(build_file.read_text())
    return str(labels.get("org.opencontainers.image.revision", "unknown"))
