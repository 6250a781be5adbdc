"""The rules: one entry a format, with its literal, its expression and its check."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from analyzer.engine import checks

Risk = Literal["critical", "high", "medium", "low"]


@dataclass(frozen=True)
class Rule:
    """One secret format."""

    id: str
    secret_type: str
    """What people call it; the `secret_type` label of the metrics, so the set is closed."""
    risk: Risk
    literals: tuple[bytes, ...]
    """Without one of these in the text the expression cannot match; searched first, since that is fast."""
    pattern: re.Pattern[bytes]
    check: Callable[[bytes], bool]
    reason: str
    """Why a match that passed its check is a secret, in words."""


def _rule(
    id: str,
    secret_type: str,
    risk: Risk,
    literals: str,
    pattern: str,
    check: Callable[[bytes], bool],
    reason: str,
) -> Rule:
    return Rule(
        id, secret_type, risk, tuple(literals.encode().split()), re.compile(pattern.encode()), check, reason
    )


# No token character before and none after, or the length of the format means nothing.
_B = r"(?<![A-Za-z0-9_])"
_E = r"(?![A-Za-z0-9_])"
_RANDOM = "the vendor's prefix and length, and a body as random as a generated key"

RULES: tuple[Rule, ...] = (
    _rule(
        "github-token", "GitHub Token", "critical", "ghp_ gho_ ghu_ ghs_ ghr_",
        rf"{_B}gh[pousr]_[A-Za-z0-9]{{36}}{_E}", checks.has_crc32_suffix, "its CRC-32 checksum holds",
    ),
    _rule(
        "github-fine-grained-token", "GitHub Token", "critical", "github_pat_",
        rf"{_B}github_pat_[A-Za-z0-9]{{22}}_[A-Za-z0-9]{{59}}{_E}", checks.looks_random, _RANDOM,
    ),
    _rule(
        "npm-token", "npm Token", "critical", "npm_",
        rf"{_B}npm_[A-Za-z0-9]{{36}}{_E}", checks.has_crc32_suffix, "its CRC-32 checksum holds",
    ),
    _rule(
        "pypi-token", "PyPI Token", "critical", "pypi-AgEIcHlwaS5vcmc",
        rf"{_B}pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{{50,600}}", checks.is_pypi_macaroon, "a pypi.org macaroon",
    ),
    _rule(
        "gitlab-token", "GitLab Token", "critical", "glpat-",
        rf"{_B}glpat-[A-Za-z0-9_-]{{20}}(?![A-Za-z0-9_-])", checks.looks_random, _RANDOM,
    ),
    _rule(
        "aws-access-key-id", "AWS Access Key", "high", "AKIA ASIA",
        rf"{_B}A[KS]IA[A-Z2-7]{{16}}{_E}", checks.is_aws_key_id, "its body is base 32, as AWS issues it",
    ),
    _rule(
        "slack-bot-token", "Slack Token", "critical", "xoxb-",
        rf"{_B}xoxb-[0-9]{{10,13}}-[0-9]{{10,13}}-[A-Za-z0-9]{{24}}{_E}", checks.looks_random, _RANDOM,
    ),
    _rule(
        "slack-user-token", "Slack Token", "critical", "xoxp- xoxe-",
        rf"{_B}xox[pe]-(?:[0-9]{{10,13}}-){{3}}[a-f0-9]{{32}}{_E}", checks.is_hex_random, _RANDOM,
    ),
    _rule(
        "slack-app-token", "Slack Token", "critical", "xapp-",
        rf"{_B}xapp-[0-9]-A[A-Z0-9]{{8,12}}-[0-9]{{10,13}}-[a-f0-9]{{64}}{_E}", checks.is_hex_random, _RANDOM,
    ),
    _rule(
        "slack-webhook", "Slack Webhook", "high", "hooks.slack.com/services/",
        rf"https://hooks\.slack\.com/services/T[A-Z0-9]{{8,12}}/B[A-Z0-9]{{8,12}}/[A-Za-z0-9]{{24}}{_E}",
        checks.looks_random, "anybody who has the address can post",
    ),
    _rule(
        "stripe-live-key", "Stripe Key", "critical", "sk_live_ rk_live_",
        rf"{_B}[sr]k_live_[A-Za-z0-9]{{24,247}}{_E}", checks.looks_random, "it is a live key, not a test key",
    ),
    _rule(
        "gcp-api-key", "Google API Key", "high", "AIza",
        rf"{_B}AIza[0-9A-Za-z_-]{{35}}(?![0-9A-Za-z_-])", checks.looks_random, _RANDOM,
    ),
    _rule(
        "anthropic-api-key", "API Key", "critical", "sk-ant-",
        rf"{_B}sk-ant-(?:api|admin)[0-9]{{2}}-[A-Za-z0-9_-]{{93}}AA(?![A-Za-z0-9_-])",
        checks.looks_random, _RANDOM,
    ),
    _rule(
        "openai-api-key", "API Key", "critical", "T3BlbkFJ",
        rf"{_B}sk-[A-Za-z0-9_-]{{20,90}}T3BlbkFJ[A-Za-z0-9_-]{{20,90}}(?![A-Za-z0-9_-])", checks.looks_random,
        "it carries the vendor's fixed middle part",
    ),
    _rule(
        "sendgrid-api-key", "API Key", "critical", "SG.",
        rf"{_B}SG\.[A-Za-z0-9_-]{{22}}\.[A-Za-z0-9_-]{{43}}(?![A-Za-z0-9_-])", checks.looks_random, _RANDOM,
    ),
    _rule(
        "huggingface-token", "API Key", "high", "hf_",
        rf"{_B}hf_[A-Za-z]{{34}}{_E}", checks.looks_random, _RANDOM,
    ),
    _rule(
        "digitalocean-token", "API Key", "critical", "dop_v1_ doo_v1_",
        rf"{_B}do[op]_v1_[a-f0-9]{{64}}{_E}", checks.is_hex_random, _RANDOM,
    ),
    _rule(
        "docker-token", "API Key", "high", "dckr_pat_",
        rf"{_B}dckr_pat_[A-Za-z0-9_-]{{27}}(?![A-Za-z0-9_-])", checks.looks_random, _RANDOM,
    ),
    _rule(
        "shopify-token", "API Key", "critical", "shpat_ shpca_ shppa_ shpss_",
        rf"{_B}shp(?:at|ca|pa|ss)_[a-fA-F0-9]{{32}}{_E}", checks.is_hex_random, _RANDOM,
    ),
    _rule(
        "azure-storage-key", "Azure Storage Key", "critical", "AccountKey=",
        r"AccountKey=[A-Za-z0-9+/]{86}==", checks.is_storage_key, "it decodes to a key of 64 bytes",
    ),
    _rule(
        "age-secret-key", "Private Key", "critical", "AGE-SECRET-KEY-1",
        rf"{_B}AGE-SECRET-KEY-1[A-Z0-9]{{58}}{_E}", checks.is_age_key, "its Bech32 checksum holds",
    ),
    _rule(
        "private-key", "Private Key", "critical", "PRIVATE KEY-----",
        # The body ends at two dashes and is never tried again, or a file of BEGIN lines takes hours.
        r"-----BEGIN (?:(?:RSA|EC|DSA|OPENSSH|ENCRYPTED) )?PRIVATE KEY-----"
        r"(?:[A-Za-z0-9+/=\s\\\"',:.;]++|-(?!-))*+"
        r"-----END (?:(?:RSA|EC|DSA|OPENSSH|ENCRYPTED) )?PRIVATE KEY-----",
        checks.is_private_key, "it parses as a private key",
    ),
    _rule(
        "jwt", "JSON Web Token", "medium", "eyJ",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{22,1400}(?![A-Za-z0-9_-])",
        checks.is_signed_jwt, "header and payload are JSON and it is signed",
    ),
    _rule(
        "connection-string", "Connection String", "high", "://",
        r"(?i)\b(?:postgres(?:ql)?|mysql|mariadb|mongodb|redis|rediss|amqps?|mssql|ftps?|sftp|https?|smtps?)"
        r"(?:\+[a-z0-9]+)?://[^\s:/@\"'`<>]{0,128}:[^\s/@\"'`<>]{1,256}@[^\s/@:?\"'`<>,)]{1,253}",
        checks.has_real_password, "a password stands in the address",
    ),
)  # fmt: skip

SECRET_TYPES: frozenset[str] = frozenset(rule.secret_type for rule in RULES) | {"Named Secret", "None"}
RULES_VERSION = "rules-2026.11.1"
