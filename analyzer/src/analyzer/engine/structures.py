"""Formats that are more than a prefix and a length: keys, web tokens, connection strings."""

from __future__ import annotations

import re

from analyzer.engine import checks, keys
from analyzer.engine.rule import Rule, Trigger

_PEM = rb"(?:(?:RSA|EC|DSA|OPENSSH|ENCRYPTED|ANY) )?PRIVATE KEY"
PRIVATE_KEY = Rule(
    "private-key", "Private Key", "critical", (),
    # Found by its end: the engine looks back for the nearest begin, never past the end of the key before.
    (Trigger(rb"PRIVATE KEY-----", 16),),
    re.compile(rb"-----BEGIN " + _PEM + rb"-----(?:[A-Za-z0-9+/=\s\\\"'`,:;.()#*<>|]++|-(?!-))*+"
        rb"-----END " + _PEM + rb"-----"),
    keys.is_private_key, "it parses as a private key",
)  # fmt: skip
PGP_KEY = Rule(
    "pgp-private-key", "Private Key", "critical", (),
    (Trigger(rb"PGP PRIVATE KEY BLOCK-----", 26),),
    re.compile(rb"-----BEGIN PGP PRIVATE KEY BLOCK-----"
        rb"(?:[A-Za-z0-9+/=\s\\\"'`,:;.()@<>]++|-(?!-))*+-----END PGP PRIVATE KEY BLOCK-----"),
    keys.is_pgp_private_key, "its packets begin with a secret key",
)  # fmt: skip
BLOCKS = {rule.id: b"-----BEGIN " for rule in (PRIVATE_KEY, PGP_KEY)}
"""Rules whose trigger is the end of a block, and how the block begins."""

BLOCK_MAX = 32_768
_SCHEME = rb"[A-Za-z][A-Za-z0-9+.-]{1,20}"

STRUCTURES: tuple[Rule, ...] = (
    PRIVATE_KEY,
    PGP_KEY,
    Rule(
        "putty-private-key", "Private Key", "critical", (b"PuTTY-User-Key-File-",),
        (Trigger(rb"PuTTY-User-Key-File-[23]: ", 23),),
        re.compile(rb"PuTTY-User-Key-File-[23]: [^\n]{4,40}\n(?:[^\n]{0,200}\n){3,40}?"
            rb"Private-Lines: \d{1,3}\r?\n[A-Za-z0-9+/=\s]{20,8000}"),
        checks.always, "a private key in PuTTY's format",
    ),
    Rule(
        "encoded-private-key", "Private Key", "critical", (b"LS0tLS1CRUdJTi",),
        (Trigger(rb"LS0tLS1CRUdJTi[A-Za-z0-9+/]{100}", 114),),
        re.compile(rb"(?<![A-Za-z0-9+/])LS0tLS1CRUdJTi[A-Za-z0-9+/]{100,16000}+={0,2}"),
        keys.is_encoded_private_key, "it decodes from base 64 to a private key",
    ),
    Rule(
        "jwk-private-key", "Private Key", "high", (),
        (Trigger(rb"[^A-Za-z0-9_][dk][\"']?[ \t]?:[ \t]?[\"'][A-Za-z0-9_-]{20}", 20),),
        re.compile(rb"[A-Za-z0-9_-]{20,1400}+(?=[\"'])"),
        checks.looks_random, "the private member of a JSON Web Key",
    ),
    Rule(
        "jwt", "JSON Web Token", "medium", (b"eyJ",),
        (Trigger(rb"eyJ[A-Za-z0-9_-]{10}", 13),),
        re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,2000}+\.eyJ[A-Za-z0-9_-]{6,8000}+\.[A-Za-z0-9_-]{22,1400}+"),
        checks.is_signed_jwt, "header and payload are JSON and it is signed",
    ),
    Rule(
        "azure-storage-key", "Azure Storage Key", "critical", (b"AccountKey=",),
        (Trigger(rb"AccountKey=[A-Za-z0-9+/]{86}==", 99),),
        re.compile(rb"AccountKey=[A-Za-z0-9+/]{86}=="), checks.is_storage_key,
            "it decodes to a key of 64 bytes",
    ),
    Rule(
        "azure-shared-access-key", "Azure Secret", "critical", (b"SharedAccessKey=",),
        (Trigger(rb"SharedAccessKey=[A-Za-z0-9+/]{43}=", 60),),
        re.compile(rb"SharedAccessKey=[A-Za-z0-9+/]{43}="), checks.is_shared_access_key,
            "it decodes to a key of 32 bytes",
    ),
    Rule(
        "azure-shared-access-signature", "Azure Secret", "high", (b"sig=",),
        (Trigger(rb"[?&]sig=[A-Za-z0-9%+/]{40}", 44),),
        re.compile(rb"sig=[A-Za-z0-9%+/]{40,70}(?:=|%3[dD])"), checks.looks_random,
            "a signature that grants access",
    ),
    Rule(
        "connection-string", "Connection String", "high", (),
        (Trigger(rb"://[^\s:/@\"'`<>]{0,128}:[^\s/@\"'`<>]{1,128}@", 0),),
        re.compile(rb"(?<![A-Za-z0-9])" + _SCHEME + rb"://[^\s:/@\"'`<>]{0,128}:[^\s/@\"'`<>]{1,256}@[^\s/@:?\"'`<>,)]{1,253}"),
        checks.has_real_password, "a password stands in the address",
    ),
)  # fmt: skip

URL_START = re.compile(_SCHEME + rb"$")
JWK_MEMBER = re.compile(rb"[\"']?\bkty\b[\"']?[ \t]?:")
