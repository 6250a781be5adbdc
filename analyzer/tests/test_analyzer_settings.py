"""What the service refuses to start with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzer.settings import DEVELOPMENT_KEY, Settings, SettingsError, key_digest


def test_development_has_the_development_key() -> None:
    assert Settings.from_environment({}).key_digests == {key_digest(DEVELOPMENT_KEY)}


@pytest.mark.parametrize(
    ("env", "word"),
    [
        pytest.param({"ANALYZER_ENV": "production"}, "set ANALYZER_API_KEYS", id="production-without-keys"),
        pytest.param({"PLATFORM_ENVIRONMENT": "staging"}, "set ANALYZER_API_KEYS", id="staging-without-keys"),
        pytest.param(
            {"ANALYZER_ENV": "production", "ANALYZER_API_KEYS": f"a,{DEVELOPMENT_KEY}"},
            "public",
            id="public-key",
        ),
        pytest.param(
            {"ANALYZER_ENV": "staging", "ANALYZER_API_KEYS": "a", "ANALYZER_ADMIN_KEYS": DEVELOPMENT_KEY},
            "public",
            id="public-admin-key",
        ),
        pytest.param({"ANALYZER_DATABASE_URL": "postgresql://a"}, "ANALYZER_FINGERPRINT_KEY", id="no-key"),
        pytest.param({"ANALYZER_REDIS_URL": "redis://a"}, "ANALYZER_FINGERPRINT_KEY", id="no-key-redis"),
        pytest.param(
            {"ANALYZER_REDIS_URL": "http://a", "ANALYZER_FINGERPRINT_KEY": "k"}, "redis://", id="no-redis"
        ),
        pytest.param({"ANALYZER_RATE_LIMIT": "many"}, "ANALYZER_RATE_LIMIT", id="no-rate"),
        pytest.param({"ANALYZER_RATE_LIMIT": "0/minute"}, "ANALYZER_RATE_LIMIT", id="nothing-allowed"),
        pytest.param({"ANALYZER_WORKERS": "0"}, "ANALYZER_WORKERS", id="no-worker"),
        pytest.param({"ANALYZER_DRAIN_SECONDS": "5s"}, "'5s'", id="no-number"),
    ],
)
def test_a_bad_environment_is_refused_with_what_to_set(env: dict[str, str], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        Settings.from_environment(env)


def test_keys_are_kept_as_hashes_only() -> None:
    settings = Settings.from_environment(
        {"ANALYZER_ENV": "production", "ANALYZER_API_KEYS": " one-key , two-key"}
    )
    assert settings.key_digests == {key_digest("one-key"), key_digest("two-key")}
    assert "one-key" not in repr(settings)


def test_addresses_with_passwords_are_not_shown() -> None:
    settings = Settings.from_environment(
        {
            "ANALYZER_DATABASE_URL": "postgresql://a:hidden@b/c",
            "ANALYZER_REDIS_URL": "redis://:hidden@b/0",
            "ANALYZER_FINGERPRINT_KEY": "hidden",
        }
    )
    assert "hidden" not in repr(settings)


def test_the_commit_is_read_from_the_images_labels(tmp_path: Path) -> None:
    labels = tmp_path / "build.json"
    labels.write_text(json.dumps({"org.opencontainers.image.revision": "c0ffee"}))
    assert Settings.from_environment({}, labels).revision == "c0ffee"
    assert Settings.from_environment({}, tmp_path / "none").revision == "unknown"
