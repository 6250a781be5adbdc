"""Makes values in the vendors' formats. Nothing that looks like a secret stands in a file of this project."""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections.abc import Callable
from re import _constants as code  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from analyzer.engine.checks import base62_crc32
from analyzer.engine.tokens import TOKENS

ALPHANUMERIC = string.ascii_letters + string.digits
BASE32 = string.ascii_uppercase + "234567"
HEX = "0123456789abcdef"
URL_SAFE = ALPHANUMERIC + "-_"
RNG = random.Random(20261122)


def text(alphabet: str, length: int) -> str:
    """Random characters, the same in every run."""
    return "".join(RNG.choices(alphabet, k=length))


def with_checksum(prefix: str) -> str:
    """A GitHub or npm token."""
    body = text(ALPHANUMERIC, 30)
    return f"{prefix}_{body}{base62_crc32(body.encode()).decode()}"


def macaroon() -> str:
    """A PyPI token: version 2 macaroon of pypi.org with an identifier, a caveat and a signature."""
    identifier = RNG.randbytes(36)
    raw = b"\x02\x01\x08pypi.org\x02" + bytes([len(identifier)]) + identifier + b"\x00"
    raw += b"\x02\x04[0]\n\x00\x00\x06\x20" + RNG.randbytes(32)
    return "pypi-" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwt(algorithm: str = "HS256") -> str:
    """A signed JSON Web Token."""
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "typ": "JWT"}, {"sub": "1", "iat": 1})]
    parts.append(RNG.randbytes(32))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def age_key() -> str:
    """An identity of age: 32 bytes in Bech32 (BIP-173)."""
    charset, prefix = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", "age-secret-key-"
    bits = int.from_bytes(RNG.randbytes(32)) << 4
    data = [bits >> shift & 31 for shift in range(255, -1, -5)]
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + data
    checksum = _polymod([*values, 0, 0, 0, 0, 0, 0]) ^ 1
    data += [checksum >> 5 * (5 - i) & 31 for i in range(6)]
    return f"{prefix}1{''.join(charset[d] for d in data)}".upper()


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check


def pem(kind: str) -> str:
    """A private key: rsa, ec, openssh, or encrypted."""
    if kind == "rsa":
        key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = rsa.generate_private_key(65537, 2048)
        return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    if kind == "openssh":
        ssh = ed25519.Ed25519PrivateKey.generate()
        return ssh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    key = ec.generate_private_key(ec.SECP256R1())
    lock = BestAvailableEncryption(b"passphrase") if kind == "encrypted" else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


def sampled(pattern: re.Pattern[bytes]) -> str:
    """A random text that an expression of characters, classes, repeats and groups matches."""
    return "".join(_symbols(parser.parse(pattern.pattern)))


def _symbols(parsed: Any) -> list[str]:
    made: list[str] = []
    for operation, argument in parsed:
        if operation is code.LITERAL:
            made.append(chr(argument))
        elif operation is code.IN:
            made.append(RNG.choice(_alphabet(argument)))
        elif operation in (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT):
            least, most, inner = argument
            for _ in range(RNG.randint(least, min(most, least + 6))):
                made += _symbols(inner)
        elif operation is code.SUBPATTERN:
            made += _symbols(argument[3])
        elif operation is code.BRANCH:
            made += _symbols(RNG.choice(argument[1]))
        elif operation not in (code.ASSERT, code.ASSERT_NOT):
            raise NotImplementedError(operation)
    return made


def _alphabet(members: Any) -> str:
    symbols = ""
    for operation, argument in members:
        if operation is code.LITERAL:
            symbols += chr(argument)
        elif operation is code.RANGE:
            symbols += "".join(map(chr, range(argument[0], argument[1] + 1)))
        else:
            raise NotImplementedError(operation)
    return symbols


def pgp_block() -> str:
    """An armoured block whose first packet is a secret key (old format, tag 5)."""
    body = base64.encodebytes(b"\x95\x03\xc5" + RNG.randbytes(400)).decode()
    return (
        f"-----BEGIN PGP PRIVATE {'KEY'} BLOCK-----\n\n{body}=aBcD\n-----END PGP PRIVATE {'KEY'} BLOCK-----"
    )


def putty_key() -> str:
    """A key file of PuTTY."""
    lines = "\n".join(text(ALPHANUMERIC, 64) for _ in range(4))
    head = f"PuTTY-User-Key-{'File'}-3: ssh-ed25519\nEncryption: none\nComment: c\nPublic-Lines: 1\nAAAA\n"
    return f"{head}Private-Lines: 4\n{lines}\n"


def discord_token() -> str:
    """The number of an account in base 64, a time and a signature."""
    number = "1" + text(string.digits, 17)
    first = base64.b64encode(number.encode()).decode()
    return f"{first}.{text(ALPHANUMERIC, 6)}.{text(ALPHANUMERIC, 27)}"


POSITIVES: dict[str, Callable[[], str]] = {
    # A rule whose expression says it all gets what its expression matches; the makers below replace some.
    **{rule.id: lambda rule=rule: sampled(rule.pattern) for rule in TOKENS},  # type: ignore[misc]
    "github-token": lambda: with_checksum("ghp"),
    "github-fine-grained-token": lambda: f"github_pat_{text(ALPHANUMERIC, 22)}_{text(ALPHANUMERIC, 59)}",
    "npm-token": lambda: with_checksum("npm"),
    "pypi-token": macaroon,
    "gitlab-token": lambda: "glpat-" + text(ALPHANUMERIC, 20),
    "aws-access-key-id": lambda: "AKIA" + text(BASE32, 16),
    "slack-bot-token": lambda: (
        f"xoxb-{text('123456789', 12)}-{text('123456789', 12)}-{text(ALPHANUMERIC, 24)}"
    ),
    "slack-user-token": lambda: "xoxp-" + "".join(f"{text('12345679', 12)}-" for _ in "123") + text(HEX, 32),
    "slack-app-token": lambda: f"xapp-1-A{text(BASE32, 10)}-{text('12345679', 13)}-{text(HEX, 64)}",
    "slack-webhook": lambda: (
        f"https://hooks.slack.com/services/T{text(BASE32, 8)}/B{text(BASE32, 8)}/{text(ALPHANUMERIC, 24)}"
    ),
    "stripe-live-key": lambda: "sk_live_" + text(ALPHANUMERIC, 24),
    "gcp-api-key": lambda: "AIza" + text(ALPHANUMERIC, 35),
    "anthropic-api-key": lambda: f"sk-ant-api03-{text(URL_SAFE, 93)}AA",
    "openai-api-key": lambda: f"sk-{text(ALPHANUMERIC, 20)}T3BlbkFJ{text(ALPHANUMERIC, 20)}",
    "sendgrid-api-key": lambda: f"SG.{text(ALPHANUMERIC, 22)}.{text(ALPHANUMERIC, 43)}",
    "huggingface-token": lambda: "hf_" + text(string.ascii_letters, 34),
    "digitalocean-token": lambda: "dop_v1_" + text(HEX, 64),
    "docker-token": lambda: "dckr_pat_" + text(ALPHANUMERIC, 27),
    "shopify-token": lambda: "shpat_" + text(HEX, 32),
    "azure-storage-key": lambda: "AccountKey=" + base64.b64encode(RNG.randbytes(64)).decode(),
    "age-secret-key": age_key,
    "private-key": lambda: pem("rsa"),
    "jwt": jwt,
    "discord-bot-token": discord_token,
    "pgp-private-key": pgp_block,
    "putty-private-key": putty_key,
    "encoded-private-key": lambda: base64.b64encode(pem("ec").encode()).decode(),
    "jwk-private-key": lambda: f'{{"kty":"oct","k":"{text(URL_SAFE, 43)}"}}',
    "azure-shared-access-key": lambda: "SharedAccessKey=" + base64.b64encode(RNG.randbytes(32)).decode(),
    "azure-shared-access-signature": lambda: f"https://a.blob.net/c?sig={text(ALPHANUMERIC, 43)}%3D",
    "connection-string": lambda: f"postgresql://app:{text(ALPHANUMERIC, 16)}@db.internal.net:5432/app",
}
"""One maker for each rule."""
