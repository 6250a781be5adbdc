"""The one place where the service meets the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from analyzer.engine.detect import Verdict, judge, matches
from analyzer.engine.privacy import Fingerprinter, redacted
from analyzer.engine.rules import RULES, RULES_VERSION

SELF_TEST = "dop_v1_" + "0123456789abcdef" * 4
"""A made-up token in a vendor's format: an engine that does not know it is broken."""


@dataclass(frozen=True)
class LocatedFinding:
    """A secret in a text. Lines and columns count characters from 1; the end is behind the last character."""

    rule: str
    secret_type: str
    risk_level: str
    redacted: str
    fingerprint: str
    line: int
    column: int
    end_line: int
    end_column: int


class Detector(Protocol):
    """What the service asks of an engine. Both methods may take long and are called in worker threads."""

    @property
    def model_version(self) -> str: ...

    def judge(self, value: str, context: str, variable_name: str) -> Verdict: ...

    def locate(self, text: str) -> list[LocatedFinding]: ...

    def self_test(self) -> int:
        """The number of rules; 0 when the engine does not find what it must."""


class EngineDetector:
    """The engine of this distribution."""

    def __init__(self, fingerprint: Fingerprinter) -> None:
        self._fingerprint = fingerprint

    @property
    def model_version(self) -> str:
        return RULES_VERSION

    def judge(self, value: str, context: str, variable_name: str) -> Verdict:
        return judge(value, context, variable_name, self._fingerprint)

    def locate(self, text: str) -> list[LocatedFinding]:
        raw = text.encode(errors="surrogatepass")
        found = [
            LocatedFinding(
                rule.id,
                rule.secret_type,
                rule.risk,
                redacted(value, rule.literals),
                self._fingerprint(value),
                *_place(raw, offset),
                *_place(raw, offset + len(value)),
            )
            for rule, offset, value in matches(raw)
        ]
        return sorted(found, key=lambda finding: (finding.line, finding.column, finding.rule))

    def self_test(self) -> int:
        return len(RULES) if self.judge(SELF_TEST, "", "").is_secret else 0


def _place(raw: bytes, offset: int) -> tuple[int, int]:
    """Line and column, in characters, of a byte offset."""
    begin = raw.rfind(b"\n", 0, offset) + 1
    column = len(raw[begin:offset].decode(errors="surrogatepass")) + 1
    return raw.count(b"\n", 0, begin) + 1, column
