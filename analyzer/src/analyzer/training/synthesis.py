"""Makes values for positives whose value nobody may keep: of the same shape and category, and random.

What a classifier learns from such values is partly this generator. So it stays coarse (character classes,
    words or
no words), every row's random numbers depend on the seed and the row only,
    and the card states how the model does
without the value's features.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from analyzer.training.rows import Row, Shape

HEX = "0123456789abcdef"
BASE32 = string.ascii_uppercase + "234567"
URL_SAFE = string.ascii_letters + string.digits + "-_"
_LEET = {"o": "0", "i": "1", "e": "3", "a": "4", "s": "5", "t": "7"}
_WORD = re.compile(r"[a-z]{3,12}")
# What people build weak passwords from, beside the words of their own project.
_STEMS = (
    "password", "secret", "admin", "changeit", "welcome", "letmein", "dragon", "monkey", "master", "hunter",
    "test", "demo", "root", "guest", "user", "pass", "summer", "winter", "qwerty", "super", "login", "hello",
)  # fmt: skip


def vocabulary(rows: Sequence[Row]) -> list[str]:
    """The lower-case words of the rows' lines, sorted, to build wordy values from."""
    words = set(_STEMS)
    for row in rows:
        words.update(_WORD.findall(row.context.lower()))
    return sorted(words)


def value_of(row: Row, words: Sequence[str], seed: int, number: int) -> str:
    """The row's own value, or one generated from its shape and category, the same for the same seed and
    number."""
    if row.value is not None:
        return row.value
    rng = random.Random(f"{seed}:{number}:{row.category}:{row.shape}")
    return _by_category(row, rng) or _by_shape(row.shape, words, rng)


def _by_category(row: Row, rng: random.Random) -> str | None:
    category, shape = row.category, row.shape
    if "UUID" in category or (shape.length == 36 and shape.other == 4 and not shape.upper):
        return _uuid(shape, rng)
    if "PEM" in category:
        return _pem(rng)
    if "JWK" in category:
        return _jwk(row, rng)
    if ("JSON Web Token" in category and shape.length > 60) or (
        "Bearer" in category and shape.other in (2, 3)
    ):
        return _jwt(shape, rng)
    if "AWS Client ID" in category:
        prefix = rng.choice(("AROA", "AIDA") if shape.length == 21 else ("AKIA", "ASIA", "AROA", "AIDA"))
        return prefix + "".join(rng.choices(BASE32, k=shape.length - 4))
    if category == "MailGun API Key":
        return "-".join("".join(rng.choices(HEX, k=size)) for size in (32, 8, 8))
    if category == "Basic Authorization":
        return base64.b64encode(f"api:{''.join(rng.choices(HEX, k=shape.length))}".encode()).decode()[
            : shape.length
        ]
    return None


def _uuid(shape: Shape, rng: random.Random) -> str:
    letters = rng.choices("abcdef", k=shape.lower) + rng.choices("ABCDEF", k=shape.upper)
    symbols = letters + rng.choices(string.digits, k=max(0, 32 - len(letters)))
    rng.shuffle(symbols)
    text = "".join(symbols[:32])
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _pem(rng: random.Random) -> str:
    key = ec.derive_private_key(rng.getrandbits(250) + 1, ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _jwk(row: Row, rng: random.Random) -> str:
    """The rest of a JavaScript object after the opening quote of a member, as these rows cut it."""
    secret = "".join(rng.choices(URL_SAFE, k=43))
    if row.variable_name in ("k", "d"):
        return f"{secret}',\n  kty: 'oct',\n"
    return f"kty: 'oct',\n  kid: 'one',\n  k: '{secret}',\n"


def _jwt(shape: Shape, rng: random.Random) -> str:
    size = max(4, shape.length * 3 // 4 - 80)
    claims = {"sub": "".join(rng.choices(string.ascii_letters, k=size)), "iat": rng.randrange(10**9)}
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    parts.append(rng.randbytes(32))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _by_shape(shape: Shape, words: Sequence[str], rng: random.Random) -> str:
    letters = shape.lower + shape.upper
    one_case = not shape.other and not (shape.lower and shape.upper)
    if shape.length >= 16 and one_case and 0.4 <= shape.digit / shape.length <= 0.85:
        return _shuffled(shape, "abcdef", "", rng)
    if shape.digit >= 3 and shape.length >= 16 and letters >= 4:
        return _shuffled(shape, string.ascii_lowercase, "-_" if shape.other < 5 else "-_!@#$%^&*()+=", rng)
    if letters < 3 or rng.random() < 0.15:
        return _shuffled(shape, string.ascii_lowercase, "!@#$%-_.", rng)
    return _wordy(shape, words, rng)


def _shuffled(shape: Shape, letters: str, others: str, rng: random.Random) -> str:
    symbols = rng.choices(letters, k=shape.lower) + rng.choices(letters.upper(), k=shape.upper)
    symbols += rng.choices(string.digits, k=shape.digit) + rng.choices(others or "-", k=shape.other)
    rng.shuffle(symbols)
    return "".join(symbols)


def _wordy(shape: Shape, words: Sequence[str], rng: random.Random) -> str:
    """Words cut to the number of letters; capitals first, digits behind or in place of letters, others
    between."""
    letters = shape.lower + shape.upper
    text = ""
    while len(text) < letters:
        text += rng.choice(_STEMS) if rng.random() < 0.4 else rng.choice(words)
    symbols = list(text[:letters])
    positions = (
        list(range(letters)) if rng.random() < 0.2 else [0, *range(4, letters), *range(1, min(4, letters))]
    )
    for position in positions[: shape.upper]:
        symbols[position] = symbols[position].upper()
    digits = rng.choices(string.digits, k=shape.digit)
    if rng.random() < 0.3 and shape.digit < letters:
        for digit in digits:
            symbols.insert(rng.randrange(1, len(symbols) + 1), _LEET.get(rng.choice("oieast"), digit))
    else:
        symbols += digits
    for _ in range(shape.other):
        symbols.insert(
            rng.randrange(1, len(symbols) + 1), rng.choice("-_!@#.$%" if shape.length < 20 else "-_!@")
        )
    return "".join(symbols)


def filled(row: Row, value: str) -> tuple[str, list[tuple[int, int]]]:
    """The row's text with the value put back, and where it stands: (start, end) in characters."""
    parts = row.context.split("⟦VALUE⟧")
    text, places = parts[0], []
    for part in parts[1:]:
        places.append((len(text), len(text) + len(value)))
        text += value + part
    return text, places
