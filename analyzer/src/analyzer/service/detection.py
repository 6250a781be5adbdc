"""The one place where the service meets the engine."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

from analyzer.engine.assignments import Candidate
from analyzer.engine.detect import Finding, Verdict, engine_with
from analyzer.engine.privacy import Fingerprinter
from analyzer.engine.rules import RULES
from analyzer.engine.second_opinion import SecondOpinion

_CONTINUATION = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that begin no character."""

PAUSE = 2.0
"""Seconds without another question after one that was not answered: an outage must not hold all threads."""

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


@dataclass(frozen=True)
class LocatedFindings:
    """What a text holds, in the order of its places."""

    findings: list[LocatedFinding]
    complete: bool
    """False when a flood of look-alikes was cut."""


@dataclass(frozen=True)
class Provisional(Verdict):
    """A verdict that lacks the second opinion that was asked for: the next one may have it."""


class Detector(Protocol):
    """What the service asks of an engine. Both methods may take long and are called in worker threads."""

    @property
    def model_version(self) -> str: ...

    def judge(self, value: str, context: str, variable_name: str) -> Verdict: ...

    def locate(self, text: str) -> LocatedFindings: ...

    def self_test(self) -> int:
        """The number of rules; 0 when the engine does not find what it must."""


class EngineDetector:
    """The engine of this distribution."""

    def __init__(self, fingerprint: Fingerprinter, opinion: SecondOpinion | None = None) -> None:
        self._fingerprint = fingerprint
        self._opinion = _Heard(**vars(opinion)) if opinion is not None else None
        self._engine = engine_with(self._opinion)

    @property
    def model_version(self) -> str:
        return self._engine.model_version

    def judge(self, value: str, context: str, variable_name: str) -> Verdict:
        if self._opinion is None:
            return self._engine.judge(value, context, variable_name, self._fingerprint)
        self._opinion.silence.met = False
        verdict = self._engine.judge(value, context, variable_name, self._fingerprint)
        return Provisional(**vars(verdict)) if self._opinion.silence.met else verdict

    def locate(self, text: str) -> LocatedFindings:
        # NUL would make the engine take the text for UTF-16 or for a binary file.
        raw = text.replace("\0", " ").encode(errors="surrogatepass")
        search = self._engine.search(raw, "", self._fingerprint)
        return LocatedFindings([_located(finding, raw) for finding in search.findings], search.complete)

    def self_test(self) -> int:
        return len(RULES) if self.judge(SELF_TEST, "", "").is_secret else 0


class _Silence(threading.local):
    """What one thread knows of the endpoint's silence."""

    met = False
    """Whether an opinion on its present value was wanted and not given."""


@dataclass
class _Pause:
    until: float = 0.0


@dataclass(frozen=True)
class _Heard(SecondOpinion):
    """A second opinion that knows when it was not given, and then asks nothing for `PAUSE` seconds."""

    silence: _Silence = field(default_factory=_Silence, compare=False, repr=False)
    pause: _Pause = field(default_factory=_Pause, compare=False, repr=False)

    def probability(self, candidate: Candidate, extension: str) -> float | None:
        if time.monotonic() < self.pause.until:
            self.silence.met = True
            return None
        said = super().probability(candidate, extension)
        if said is None:
            self.silence.met = True
            self.pause.until = time.monotonic() + PAUSE
        return said


def _located(finding: Finding, raw: bytes) -> LocatedFinding:
    return LocatedFinding(
        finding.rule,
        finding.secret_type,
        finding.risk_level,
        finding.redacted,
        finding.fingerprint,
        *_place(raw, finding.start),
        *_place(raw, finding.end),
    )


def _place(raw: bytes, offset: int) -> tuple[int, int]:
    """Line and column, in characters, of a byte offset."""
    begin = raw.rfind(b"\n", 0, offset) + 1
    column = len(raw[begin:offset].translate(None, _CONTINUATION)) + 1
    return raw.count(b"\n", 0, begin) + 1, column
