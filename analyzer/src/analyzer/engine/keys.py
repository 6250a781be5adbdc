"""Private keys: whether a block of text can be one."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

MAX_KEY = 32_768

# Indentation, and what stands around a string that source code writes line by line: quotes, commas, plus,
# comment marks.
_QUOTING = re.compile(rb"(?m)^[ \t\"'`*#+(>|]+|(?:\\[ \t]*|[\"'`][ \t,+;.)\\]*|[ \t\r]+)$")
_FRAME = re.compile(rb"-----(?:BEGIN|END)[^-]*-----")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")
_HEADER = re.compile(rb"(?m)^[A-Za-z-]+: .*$")


def is_private_key(pem: bytes) -> bool:
    """Whether the block parses as a private key; an encrypted one counts: only its passphrase is missing.

    A block that was altered, or quoted in a way that is not known here, counts when its body is the DER of a
    key's length.
    """
    if len(pem) > MAX_KEY:
        return False
    text = pem.replace(b"\\n", b"\n").replace(b"\\r", b"")
    text = _QUOTING.sub(b"", text)
    if b"ENCRYPTED" in text:
        return len(text) > 150
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in text else load_pem_private_key
    try:
        load(text + b"\n", password=None)
    except (TypeError, UnsupportedAlgorithm):
        return True
    except ValueError as error:
        return "password" in str(error).lower() or _is_key_material(text)
    return True


def _is_key_material(text: bytes) -> bool:
    body = _NOT_BASE64.sub(b"", _HEADER.sub(b"", _FRAME.sub(b"", text))).rstrip(b"=")
    try:
        der = base64.b64decode(body[: len(body) // 4 * 4])
    except binascii.Error:
        return False
    # A SEQUENCE whose length takes one or two bytes more, or OpenSSH's mark.
    framed = (
        der[:2] in (b"\x30\x81", b"\x30\x82")
        or (der[:1] == b"\x30" and len(der) > 40)
        or der[:7] == b"openssh"
    )
    return framed and len(der) >= 40 and _entropy(der) > 0.6 * math.log2(len(der))


def _entropy(data: bytes) -> float:
    return -sum(n / len(data) * math.log2(n / len(data)) for n in Counter(data).values())


def is_pgp_private_key(block: bytes) -> bool:
    """Whether the armoured block begins with a secret key packet (RFC 4880, 4.2: tag 5, old or new
    format)."""
    text = _QUOTING.sub(b"", block.replace(b"\\n", b"\n").replace(b"\\r", b""))
    body = _NOT_BASE64.sub(b"", _HEADER.sub(b"", _FRAME.sub(b"", text)).partition(b"\n=")[0]).rstrip(b"=")
    try:
        packets = base64.b64decode(body[: len(body) // 4 * 4])
    except binascii.Error:
        return False
    return len(packets) > 60 and (packets[0] & 0xFC == 0x94 or packets[0] == 0xC5)


def is_encoded_private_key(token: bytes) -> bool:
    """Whether the token is base 64 of a block that is a private key."""
    body = token.rstrip(b"=")
    try:
        decoded = base64.b64decode(body[: len(body) // 4 * 4])
    except binascii.Error:
        return False
    if b"PGP PRIVATE KEY BLOCK" in decoded[:60]:
        return is_pgp_private_key(decoded)
    return b"PRIVATE KEY-----" in decoded[:60] and is_private_key(decoded)
