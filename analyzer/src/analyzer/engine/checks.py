"""Structural checks of vendor formats: each answers whether the bytes can be what they look like.

A check never asks the vendor: using a found secret is not a scanner's business.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import string
import zlib
from collections import Counter

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_LOWER, _UPPER = string.ascii_lowercase.encode(), string.ascii_uppercase.encode()
_DIGITS = string.digits.encode()

_PLACEHOLDER = re.compile(
    rb"(?i)example|placeholder|changeme|change[-_]me|your[-_]|dummy|redacted|insert|xxxx|\*\*\*|<[^>]*>|\$\{|\{\{|%s|"
    rb"^(?:my[-_]?)?(?:pass|passwd|password|pwd|secret|token|user|username|admin|root|test|testing|postgres|guest|foo|bar)\d*$"
)


def entropy(value: bytes) -> float:
    """Shannon entropy in bits for one byte of `value`; 0.0 when it is empty."""
    if not value:
        return 0.0
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def is_placeholder(value: bytes) -> bool:
    """Whether people write `value` where a secret will stand later."""
    return bool(_PLACEHOLDER.search(value)) or len(set(value)) <= 2


def base62_crc32(payload: bytes) -> bytes:
    """The six closing characters of GitHub's and npm's tokens: CRC-32 of the payload in base 62.

    Source: https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
    """
    number, digits = zlib.crc32(payload), ""
    while number:
        number, rest = divmod(number, 62)
        digits = BASE62[rest] + digits
    return digits.rjust(6, "0").encode()


def has_crc32_suffix(token: bytes) -> bool:
    """Whether the part after the first underscore ends with the checksum of what stands before it."""
    body = token.partition(b"_")[2]
    return base62_crc32(body[:-6]) == body[-6:]


def is_aws_key_id(token: bytes) -> bool:
    """Whether the 16 characters after the prefix are base 32 and no documentation example."""
    if b"EXAMPLE" in token:
        return False
    try:
        decoded = base64.b32decode(token[4:20])
    except binascii.Error:
        return False
    return entropy(token[4:20]) > 2.5 and any(decoded)


def looks_random(token: bytes) -> bool:
    """Whether the token's body varies as generated keys do (repeated and spelled-out bodies do not)."""
    body = re.split(rb"[-_.]", token)[-1] if token.count(b"_") + token.count(b"-") else token
    return not is_placeholder(token) and entropy(body if len(body) >= 16 else token) > 3.0


def is_dense(token: bytes) -> bool:
    """Whether a token with little or no prefix mixes cases and digits as random base 62 does."""
    kinds = (any(c in group for c in token) for group in (_LOWER, _UPPER, _DIGITS))
    return all(kinds) and not is_placeholder(token) and entropy(token) > 3.8


def is_mixed_case(token: bytes) -> bool:
    """Whether a token of letters only has so many changes of case that no words can be in it."""
    body = token.rpartition(b"_")[2]
    changes = sum(a.islower() != b.islower() for a, b in zip(body.decode(), body.decode()[1:], strict=False))
    return changes >= len(body) // 4 and not is_placeholder(token)


def is_discord_token(token: bytes) -> bool:
    """Whether the first of the three parts decodes to the decimal number of an account."""
    first = token.partition(b".")[0]
    try:
        decoded = base64.urlsafe_b64decode(first + b"=" * (-len(first) % 4))
    except binascii.Error:
        return False
    return decoded.isdigit() and looks_random(token)


def is_hex_random(token: bytes) -> bool:
    """Whether a token whose body is hexadecimal varies enough (16 symbols give at most 4 bits)."""
    return not is_placeholder(token) and entropy(token[-32:]) > 2.5


def _base64url_json(part: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except (ValueError, binascii.Error):
        return None
    return value if isinstance(value, dict) else None


def is_signed_jwt(token: bytes) -> bool:
    """Whether header and payload are JSON objects (RFC 7519) and the algorithm signs."""
    header, payload, signature = token.split(b".")
    decoded = _base64url_json(header)
    if decoded is None or _base64url_json(payload) is None:
        return False
    algorithm = decoded.get("alg")
    return isinstance(algorithm, str) and algorithm.lower() != "none" and len(signature) >= 22


def is_pypi_macaroon(token: bytes) -> bool:
    """Whether the token is a version 2 macaroon of pypi.org that ends in a 32-byte signature.

    Source: https://github.com/rescrv/libmacaroons/blob/master/doc/format.txt (binary format, version 2).
    """
    body = token.removeprefix(b"pypi-")
    try:
        raw = base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4))
    except (ValueError, binascii.Error):
        return False
    location = b"\x02\x01\x08pypi.org"
    return raw.startswith(location) and len(raw) > len(location) + 34 and raw[-34:-32] == b"\x06\x20"


def is_storage_key(token: bytes) -> bool:
    """Whether the value of `AccountKey=` decodes to the 64 bytes of an Azure storage key."""
    value = token.partition(b"=")[2]
    try:
        return len(base64.b64decode(value, validate=True)) == 64 and entropy(value) > 4.0
    except binascii.Error:
        return False


def is_shared_access_key(token: bytes) -> bool:
    """Whether the value of `SharedAccessKey=` decodes to the 32 bytes of an Azure access key."""
    value = token.partition(b"=")[2]
    try:
        return len(base64.b64decode(value, validate=True)) == 32 and entropy(value) > 4.0
    except binascii.Error:
        return False


def always(_: bytes) -> bool:
    """For formats whose expression says it all."""
    return True


_URL_PASSWORD = re.compile(rb"^[a-z][a-z0-9+.-]*://[^:/@\s]*:([^@/\s]+)@([^/:?\s\"'`,)]+)", re.IGNORECASE)
_EXAMPLE_HOST = re.compile(
    rb"(?i)^(?:\$|\{|<|host(?:name)?$|server$|localhost$|127\.|\[::1)|(?:^|\.)example(?:\.|$)"
)


def has_real_password(url: bytes) -> bool:
    """Whether a connection string carries a password, no placeholder, for a host that can exist."""
    match = _URL_PASSWORD.match(url)
    if match is None:
        return False
    password, host = match.groups()
    if b"," in password or is_placeholder(password) or _EXAMPLE_HOST.search(host) or password[:1] in b"$%{<":
        return False
    return len(password) >= 8 and entropy(password) > 2.5


_BECH32 = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def is_age_key(token: bytes) -> bool:
    """Whether the Bech32 checksum of an age secret key holds (BIP-173)."""
    lower = token.lower()
    prefix, _, data = lower.rpartition(b"1")
    if any(c not in _BECH32 for c in data):
        return False
    values = [c >> 5 for c in prefix] + [0] + [c & 31 for c in prefix] + [_BECH32.index(c) for c in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check == 1
