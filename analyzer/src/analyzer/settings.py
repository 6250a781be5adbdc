"""What the service is told from outside: environment variables, read once at start."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from analyzer.engine.privacy import Fingerprinter

DEVELOPMENT_KEY = "dev-key-12345"
BUILD_FILE = Path(__file__).parents[2] / "build.json"


class SettingsError(Exception):
    """The service cannot start as it was told; the message says what to set."""


def key_digest(key: str) -> str:
    """What is kept of an API key. The keys are long and random, so that a plain hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True)
class Settings:
    """Settings of one service process."""

    environment: str = "development"
    """`development`, `staging` or `production` (ANALYZER_ENV, else PLATFORM_ENVIRONMENT)."""
    key_digests: frozenset[str] = frozenset()
    """SHA-256 of the API keys that may call `POST /analyze` (ANALYZER_API_KEYS, separated by commas)."""
    fingerprint: Fingerprinter = field(default_factory=Fingerprinter.ephemeral)
    """ANALYZER_FINGERPRINT_KEY; without it fingerprints are comparable within one process only."""
    max_body: int = 65_536
    """Bytes of a request body; more is answered with 413 (ANALYZER_MAX_BODY_BYTES)."""
    workers: int = 2
    """Threads that analyse (ANALYZER_WORKERS)."""
    max_waiting: int = 64
    """Requests that may wait for a thread; more are answered with 429 (ANALYZER_MAX_WAITING)."""
    drain_delay: timedelta = timedelta(seconds=5)
    """Between SIGTERM and the last new request: what Kubernetes needs to remove the endpoint
    (ANALYZER_DRAIN_SECONDS)."""
    revision: str = "unknown"
    """The commit that the image was built from."""

    def __post_init__(self) -> None:
        if not self.key_digests:
            raise SettingsError(
                f"no API keys for environment {self.environment!r}: set ANALYZER_API_KEYS, "
                "or ANALYZER_ENV=development to use the development key"
            )

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ, build_file: Path = BUILD_FILE) -> Settings:
        """Reads the variables named above; raises `SettingsError` for one that cannot be understood."""
        environment = env.get("ANALYZER_ENV") or env.get("PLATFORM_ENVIRONMENT") or "development"
        keys = [key.strip() for key in env.get("ANALYZER_API_KEYS", "").split(",") if key.strip()]
        if not keys and environment == "development":
            keys = [DEVELOPMENT_KEY]
        elif DEVELOPMENT_KEY in keys and environment != "development":
            raise SettingsError(
                f"ANALYZER_API_KEYS holds the public development key in environment {environment!r}"
            )
        fingerprint_key = env.get("ANALYZER_FINGERPRINT_KEY", "")
        return cls(
            environment=environment,
            key_digests=frozenset(key_digest(key) for key in keys),
            fingerprint=Fingerprinter(fingerprint_key.encode())
            if fingerprint_key
            else Fingerprinter.ephemeral(),
            max_body=_number(env, "ANALYZER_MAX_BODY_BYTES", 65_536, least=1024),
            workers=_number(env, "ANALYZER_WORKERS", 2, least=1),
            max_waiting=_number(env, "ANALYZER_MAX_WAITING", 64, least=0),
            drain_delay=timedelta(seconds=_number(env, "ANALYZER_DRAIN_SECONDS", 5, least=0)),
            revision=_revision(build_file),
        )


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
