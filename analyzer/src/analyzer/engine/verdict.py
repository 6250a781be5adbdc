"""What the engine says: findings at places, verdicts on values. Neither ever holds the value."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """A secret at a place."""

    path: str
    line: int
    """From 1."""
    rule: str
    secret_type: str
    risk_level: str
    redacted: str
    fingerprint: str
    commit: str | None = None
    probability: float = 0.99
    reasons: tuple[str, ...] = ()
    start: int = 0
    end: int = 0
    """Where the value stands in the content that was searched: bytes, of UTF-16 those of its UTF-8."""

    def as_dict(self) -> dict[str, object]:
        """What reports say. Without the offsets: they count from the block of the file that was searched."""
        return {name: value for name, value in asdict(self).items() if name not in ("start", "end")}


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
    model_version: str


@dataclass(frozen=True)
class Search:
    """The findings of one content, in the order of their lines."""

    findings: tuple[Finding, ...]
    complete: bool
    """False when a flood of hits was cut: the content counts as partly searched."""
