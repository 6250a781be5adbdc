"""Finding secrets in text, and judging one value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from analyzer.engine.checks import entropy, is_placeholder
from analyzer.engine.privacy import Fingerprinter, redacted
from analyzer.engine.rules import RULES, RULES_VERSION, Rule

_SECRET_NAME = re.compile(
    r"(?i)(?:^|[^a-z])(?:pass(?:word|wd|phrase)?|pwd|secret|token|(?:api|access|private)[-_ ]?key|"
    r"credentials?|auth|bearer)(?:$|[^a-z])"
)
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class Finding:
    """A secret at a place. It never holds the value."""

    path: str
    line: int
    rule: str
    secret_type: str
    risk_level: str
    redacted: str
    fingerprint: str
    commit: str | None = None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """What the engine thinks of one value."""

    is_secret: bool
    probability: float
    secret_type: str
    risk_level: str
    reasons: tuple[str, ...]
    redacted: str
    fingerprint: str
    model_version: str = RULES_VERSION


def matches(text: bytes) -> Iterator[tuple[Rule, int, bytes]]:
    """Every rule's checked matches in `text`, as (rule, offset, value)."""
    for rule in RULES:
        if not any(literal in text for literal in rule.literals):
            continue
        for match in rule.pattern.finditer(text):
            if rule.check(match.group()):
                yield rule, match.start(), match.group()


def find(text: bytes, path: str, fingerprint: Fingerprinter, commit: str | None = None) -> list[Finding]:
    """The secrets in one file, in the order of their lines."""
    text = _as_utf8(text)
    found = [
        Finding(
            path, text.count(b"\n", 0, offset) + 1, rule.id, rule.secret_type, rule.risk,
            redacted(value, rule.literals), fingerprint(value), commit,
        )
        for rule, offset, value in matches(text)
    ]  # fmt: skip
    return sorted(found, key=lambda finding: (finding.line, finding.rule))


def _as_utf8(text: bytes) -> bytes:
    """Files with a UTF-16 byte order mark hide every ASCII literal; the rest is searched as it is."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return text.decode("utf-16", errors="replace").encode()
    return text


def judge(value: str, context: str, variable_name: str, fingerprint: Fingerprinter) -> Verdict:
    """Whether `value`, assigned to `variable_name` in `context`, is a secret."""
    # JSON can carry half of a surrogate pair, which UTF-8 proper cannot.
    raw = value.encode(errors="surrogatepass")
    preview, print_ = redacted(raw), fingerprint(raw)
    for rule, _, _ in matches(raw):
        reasons = (f"it has the format of a {rule.secret_type}", rule.reason)
        return Verdict(True, 0.99, rule.secret_type, rule.risk, reasons, redacted(raw, rule.literals), print_)
    if not raw or is_placeholder(raw):
        return Verdict(
            False, 0.02, "None", "low", ("people write this where a secret will stand",), preview, print_
        )
    return _by_name(raw, _SNAKE.sub("_", variable_name), context, preview, print_)


def _by_name(raw: bytes, name: str, context: str, preview: str, print_: str) -> Verdict:
    named = bool(_SECRET_NAME.search(name) or _SECRET_NAME.search(context))
    random = len(raw) >= 12 and entropy(raw) >= 3.0 and b" " not in raw
    if named and random:
        reasons = (
            "its name says that it is a secret",
            f"{entropy(raw):.1f} bits of entropy for each character",
        )
        return Verdict(True, 0.75, "Named Secret", "medium", reasons, preview, print_)
    if named:
        reason = "its name says secret, but it is too short or too regular to be one"
        return Verdict(False, 0.3, "None", "low", (reason,), preview, print_)
    return Verdict(
        False,
        0.05,
        "None",
        "low",
        ("no known format, and its name says nothing of a secret",),
        preview,
        print_,
    )
