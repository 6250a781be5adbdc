"""The one place where the service meets the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from analyzer.engine.detect import Finding, Verdict, default_engine
from analyzer.engine.privacy import Fingerprinter
from analyzer.engine.rules import RULES

_CONTINUATION = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that begin no character."""
Span: TypeAlias = tuple[int, int]
"""Begin and end of a value, in bytes."""

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
        self._engine = default_engine()

    @property
    def model_version(self) -> str:
        return self._engine.model_version

    def judge(self, value: str, context: str, variable_name: str) -> Verdict:
        return self._engine.judge(value, context, variable_name, self._fingerprint)

    def locate(self, text: str) -> list[LocatedFinding]:
        # NUL would make the engine take the text for UTF-16 or for a binary file.
        raw = text.replace("\0", " ").encode(errors="surrogatepass")
        findings = self._engine.search(raw, "", self._fingerprint).findings
        spans = self._spans(raw) if findings else {}
        return [_located(finding, raw, spans) for finding in findings]

    def _spans(self, raw: bytes) -> dict[tuple[int, str], deque[Span]]:
        """Where the values that the engine looked at stand, by line and fingerprint, as its findings have."""
        located = self._engine.locator.locate(raw, "")
        values = [(start, start + len(value), value) for _, start, value in located.matches]
        values += [(each.start, each.end, each.value) for each in located.candidates]
        spans: dict[tuple[int, str], deque[Span]] = {}
        for start, end, value in sorted(values):
            key = (_place(raw, start)[0], self._fingerprint(value))
            spans.setdefault(key, deque()).append((start, end))
        return spans

    def self_test(self) -> int:
        return len(RULES) if self.judge(SELF_TEST, "", "").is_secret else 0


def _located(finding: Finding, raw: bytes, spans: Mapping[tuple[int, str], deque[Span]]) -> LocatedFinding:
    start, end = spans[finding.line, finding.fingerprint].popleft()
    return LocatedFinding(
        finding.rule,
        finding.secret_type,
        finding.risk_level,
        finding.redacted,
        finding.fingerprint,
        *_place(raw, start),
        *_place(raw, min(end, len(raw))),
    )


def _place(raw: bytes, offset: int) -> tuple[int, int]:
    """Line and column, in characters, of a byte offset."""
    begin = raw.rfind(b"\n", 0, offset) + 1
    column = len(raw[begin:offset].translate(None, _CONTINUATION)) + 1
    return raw.count(b"\n", 0, begin) + 1, column
