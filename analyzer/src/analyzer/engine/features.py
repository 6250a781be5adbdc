"""What the classifier looks at: numbers about a candidate's value, its name and its line.

The order of the numbers is `NAMES`; the first `VALUE_FEATURES` of them depend on the value.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from analyzer.engine.assignments import Candidate
from analyzer.engine.file_types import CODE, CONFIG, DATA, DOCUMENT, SHELL, SQL, group_of
from analyzer.engine.names import KINDS

_VALUE_NAMES = (
    "length", "lower", "upper", "digit", "other", "classes", "entropy", "distinct", "hexadecimal", "base64",
    "uuid",
    "digits_only", "letters_only", "letter_run", "digit_run", "bigrams", "blanks", "non_ascii", "brackets",
    "dots", "slashes",
    "underscores", "dashes", "colons", "starts_special", "ends_special", "identifier", "camel_case", "words",
    "placeholder", "says_test", "says_kind", "is_kind", "in_name", "repeats", "sequence", "format_mark",
    "randomness",
)  # fmt: skip
_CONTEXT_NAMES = (
    *(f"kind_{kind}" for kind in KINDS), "no_kind", "last", "exact", "name_words", "name_length", "about",
        "interface",
    "name_upper", "name_dotted", "quoted", "assigned", "colon", "arrow", "compared", "called", "comma",
    "markup", "address",
    "option", "header", "spaced", "code", "config", "document", "shell", "sql", "data", "comment",
    "before_length",
    "after_length", "after_blank", "after_closes", "user_nearby", "test_nearby", "line_words", "in_string",
    "local_host",
)  # fmt: skip
NAMES = _VALUE_NAMES + _CONTEXT_NAMES
VALUE_FEATURES = len(_VALUE_NAMES)

_HEX = re.compile(rb"\A(?:0x)?[0-9a-fA-F]+\Z")
_BASE64 = re.compile(rb"\A[A-Za-z0-9+/_-]+={0,2}\Z")
_UUID = re.compile(rb"\A[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")
_LETTER_RUN = re.compile(rb"[A-Za-z]+")
_DIGIT_RUN = re.compile(rb"[0-9]+")
_IDENTIFIER = re.compile(rb"\A[A-Za-z_][A-Za-z0-9]*(?:[_.:-]+[A-Za-z][A-Za-z0-9]*)+\Z")
_CAMEL = re.compile(rb"\A[A-Za-z]?[a-z]+(?:[A-Z][a-z]+)+\Z")
_WORDS = re.compile(rb"[A-Z]?[a-z]{3,}|[A-Z]{3,}")
_PLACEHOLDER = re.compile(
    rb"(?i)example|placeholder|change_?-?me|replace|your[-_ ]?|dummy|redacted|insert|sample|"
    rb"xxx|\*\*\*|\.\.\.|<[^>]*>|\$\{|\{\{|"
    rb"\{[a-z_.]*\}|%s|%\(|\btodo\b|\A(?:null|none|nil|true|false|undefined|string|value|text|todo|tbd|empty|default|required|"
    rb"optional|invalid|unknown|bearer|basic)\Z"
)
_TEST = re.compile(rb"(?i)test|fake|mock|bad|wrong|invalid|foo|bar|some|my|new|old")
_KIND = re.compile(rb"(?i)pass|secret|token|key|auth|cred|pwd")
_IS_KIND = re.compile(
    rb"(?i)\A(?:the|a|my|your|db|user|api|access)?[-_ ]?"
    rb"(?:password|passwd|pass|secret|token|key|apikey|auth|credentials?)s?\Z"
)
_FORMAT_MARK = re.compile(rb"[%$][({a-zA-Z]|\{\d*\}|\\[ux]|&\w+;|@\w+@|#\{")
_COMMENT = re.compile(rb"\A\s*(?:#|//|/?\*|--|;|<!--|%|\"\"\"|')")
_USER = re.compile(rb"(?i)user|login|email|account|username")
_TEST_LINE = re.compile(rb"(?i)test|assert|expect|mock|fake|example|spec\b|should")
_LINE_WORDS = re.compile(rb"[A-Za-z]{2,}")
_LOCAL = re.compile(rb"@(?:localhost|127\.|0\.0\.0\.0|\[::1|host\b|server\b|db\b|example|[a-z]+\.example)")
_KIND_OF = bytes(
    1 if 97 <= byte <= 122 else 2 if 65 <= byte <= 90 else 3 if 48 <= byte <= 57 else 0 for byte in range(256)
)
_SEQUENCES = b"abcdefghijklmnopqrstuvwxyz 0123456789 qwertyuiop asdfghjkl zxcvbnm"

RISING = frozenset({"randomness", "exact", "last"})
FALLING = frozenset(
    {
        "placeholder",
        "blanks",
        "non_ascii",
        "brackets",
        "about",
        "interface",
        "format_mark",
        "identifier",
        "repeats",
        "uuid",
        "is_kind",
    }
)
"""What can only speak for, and only against a secret; the training holds the trees to it."""

Bigrams = Sequence[Sequence[float]]
"""Mean log-probability of a letter (column) behind another (row) in text that people write; 27 x 27, the
last is 'other'."""


def vector(candidate: Candidate, extension: str, bigrams: Bigrams) -> list[float]:
    """The numbers for one candidate, in the order of `NAMES`."""
    return value_features(candidate, bigrams) + context_features(candidate, extension)


def _count(value: bytes) -> tuple[int, int, int, int, int, int]:
    lower = upper = digit = blank = high = 0
    for byte in value:
        if 97 <= byte <= 122:
            lower += 1
        elif 48 <= byte <= 57:
            digit += 1
        elif 65 <= byte <= 90:
            upper += 1
        elif byte == 32:
            blank += 1
        elif byte >= 128:
            high += 1
    return lower, upper, digit, len(value) - lower - upper - digit, blank, high


def entropy_of(value: bytes) -> float:
    """Shannon entropy in bits for one byte of a value that is not empty."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values())


def value_features(candidate: Candidate, bigrams: Bigrams) -> list[float]:
    """The numbers that depend on the value (at most its first 512 bytes)."""
    value = candidate.value[:512]
    size = len(value)
    lower, upper, digit, other, blank, high = _count(value)
    letters = lower + upper
    name = candidate.name.text.lower().encode()
    low = value.lower()
    hexadecimal = bool(_HEX.match(value)) and digit > 0
    likely = likelihood(value, bigrams)
    is_placeholder = bool(_PLACEHOLDER.search(value))
    return [
        min(size, 200), lower / size, upper / size, digit / size, other / size,
        (lower > 0) + (upper > 0) + (digit > 0) + (other > 0),
        entropy_of(value), len(set(value)) / size, hexadecimal, bool(_BASE64.match(value)),
            bool(_UUID.match(value)),
        digit == size, letters == size,
        max(map(len, _LETTER_RUN.findall(value)), default=0), max(map(len, _DIGIT_RUN.findall(value)),
            default=0),
        likely, blank, high / size,
        sum(value.count(c) for c in (b"(", b")", b"[", b"]", b"{", b"}", b"<", b">")),
        value.count(b"."), value.count(b"/"), value.count(b"_"), value.count(b"-"), value.count(b":"),
        value[0] in b"$%<{[(@&*#/.\\:=|+,~!?-", value[-1] in b":.,;?!)]}>(/-_",
        bool(_IDENTIFIER.match(value)) and not digit, bool(_CAMEL.match(value)), len(_WORDS.findall(value)),
        is_placeholder, bool(_TEST.search(value)), bool(_KIND.search(value)), bool(_IS_KIND.match(value)),
        low in name or (len(name) > 3 and name in low), _repeats(value), _sequence(low),
            bool(_FORMAT_MARK.search(value)),
        0.0 if is_placeholder else randomness(value, letters, digit, likely),
    ]  # fmt: skip


def randomness(value: bytes, letters: int, digits: int, likely: float) -> float:
    """About how many bits a value holds beyond words, at most 128: what no person would write by hand has
    many.

    Each letter counts by how unlikely it is behind the one before it, each digit by its share among letters.
    """
    if b" " in value or not letters + digits:
        return 0.0
    changes = sum(_KIND_OF[a] != _KIND_OF[b] for a, b in pairwise(value))
    surprise = max(0.0, -likely - 2.6) * letters
    return min(128.0, surprise + 1.2 * changes * min(1.0, len(set(value)) / 8))


def likelihood(value: bytes, bigrams: Bigrams) -> float:
    """How much the value's letters follow each other as in written words: mean log-probability, 0 without
    letters."""
    total, count, previous = 0.0, 0, 26
    for byte in value[:64].lower():
        symbol = byte - 97 if 97 <= byte <= 122 else 26
        if symbol != 26:
            total += bigrams[previous][symbol]
            count += 1
        previous = symbol
    return total / count if count else 0.0


def _repeats(value: bytes) -> float:
    """The share of the value that repeats its neighbour or one short unit."""
    same = sum(a == b for a, b in pairwise(value)) / len(value)
    for unit in (2, 3, 4):
        if len(value) >= 3 * unit and value == (value[:unit] * (len(value) // unit + 1))[: len(value)]:
            return 1.0
    return same


def _sequence(value: bytes) -> float:
    """The share of the value that runs along the alphabet, the digits or the keyboard."""
    if len(value) < 4:
        return 0.0
    runs = sum(value[i : i + 3] in _SEQUENCES for i in range(min(len(value), 64) - 2))
    return runs / (min(len(value), 64) - 2)


def context_features(candidate: Candidate, extension: str) -> list[float]:
    """The numbers that do not depend on the value."""
    name, separator = candidate.name, candidate.separator
    before, after, group = candidate.before, candidate.after, group_of(extension)
    rest = after.lstrip(b"\"'`\\")
    return [
        *(name.kind == kind for kind in KINDS), name.kind is None, name.last, name.exact, len(name.words),
            len(name.text),
        name.about, name.interface, name.text.isupper(), "." in name.text, candidate.quoted,
        separator in ("=", ":=", "?="), separator == ":", separator in ("=>", "<-"), separator in ("==",
            "===", "!=", "!=="),
        separator == "(", separator == ",", b"<" in before[-60:] and not candidate.quoted, separator == "url",
        separator == "option" or b"--" in before, separator == "header", separator == "space",
        group == CODE, group == CONFIG, group == DOCUMENT, group == SHELL, group == SQL, group == DATA,
        bool(_COMMENT.match(before)), len(before), min(len(after), 200), not rest.strip(b" \t\r,;"),
        rest[:1] in (b")", b"]", b"}"), bool(_USER.search(before) or _USER.search(after[:100])),
        bool(_TEST_LINE.search(before)), len(_LINE_WORDS.findall(before)), is_inside_string(before,
            candidate.quoted),
        bool(_LOCAL.match(after)),
    ]  # fmt: skip


def is_inside_string(before: bytes, quoted: bool) -> bool:
    """Whether the quotes before the value leave a string open (its own quote not counted)."""
    text = before[:-1] if quoted else before
    return any(text.count(quote) % 2 for quote in (b'"', b"'", b"`"))
