"""A scan's result as people and as machines read it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from analyzer import __version__
from analyzer.scan.coverage import Coverage
from analyzer.scan.engine import Finding
from analyzer.scan.triage import Reported, Suppressed

LISTED = 100
"""Entries that each list of the JSON has unless told otherwise: an XCom stays small. Counts are whole."""


@dataclass(frozen=True)
class Result:
    """What a scan found and saw."""

    target: str
    commit: str | None
    model_version: str
    reported: tuple[Reported, ...]
    suppressed: tuple[Suppressed, ...]
    coverage: Coverage
    unused: tuple[str, ...] = ()
    """Entries of the suppressions that were about nothing."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that count."""
        return tuple(one.finding for one in self.reported)

    @property
    def outcome(self) -> str:
        """`findings`, `incomplete` (nothing found, but not everything seen) or `clean`."""
        if self.reported:
            return "findings"
        return "incomplete" if self.coverage.not_scanned else "clean"

    @property
    def exit_code(self) -> int:
        """2 whenever something was not scanned, else 1 for findings, else 0."""
        if self.coverage.not_scanned:
            return 2
        return 1 if self.reported else 0

    def as_dict(self, listed: int = LISTED) -> dict[str, object]:
        """The JSON document, with at most `listed` entries in each list (0: all)."""
        end = listed or None
        return {
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "target": self.target,
            "commit": self.commit,
            "analyzer": __version__,
            "model_version": self.model_version,
            "counts": self._counts(),
            "findings": [_reported(one) for one in self.reported[:end]],
            "suppressed": [_suppressed(one) for one in self.suppressed[:end]],
            "unused_suppressions": list(self.unused[:end]),
            "not_scanned": self.coverage.not_scanned[:end],
        }

    def as_json(self, listed: int = LISTED) -> str:
        """The JSON document as text."""
        return json.dumps(self.as_dict(listed), indent=1)

    def as_table(self) -> str:
        """Lines for a terminal or a task log; the last one is the summary."""
        lines = [_line(one) for one in self.reported]
        lines += [f"not scanned: {gap}" for gap in self.coverage.not_scanned]
        lines += [f"unused suppression: {entry}" for entry in self.unused]
        return "\n".join(_visible(line) for line in [*lines, self.summary()])

    def summary(self) -> str:
        """One line: the outcome, and what was seen."""
        seen = self.coverage
        parts = [f"{seen.files} files", f"{seen.bytes} bytes"]
        parts += [f"{seen.commits} commits"] if seen.commits else []
        parts += [f"{sum(seen.skipped.values())} skipped{_reasons(seen.skipped)}"]
        parts += [f"{seen.unopened.total()} not unpacked{_reasons(seen.unopened)}"] if seen.unopened else []
        parts += [f"{len(seen.not_scanned)} not scanned"]
        suppressed = f" ({len(self.suppressed)} suppressed)" if self.suppressed else ""
        return f"{self.outcome}: {len(self.reported)} findings{suppressed}; {', '.join(parts)}"

    def _counts(self) -> dict[str, object]:
        return {
            "findings": len(self.reported),
            "by_risk": _sorted(Counter(f.risk_level for f in self.findings)),
            "by_rule": _sorted(Counter(f.rule for f in self.findings)),
            "suppressed": _sorted(Counter(one.by for one in self.suppressed)),
            "files": self.coverage.files,
            "bytes": self.coverage.bytes,
            "commits": self.coverage.commits,
            "skipped": _sorted(self.coverage.skipped),
            "unopened": _sorted(self.coverage.unopened),
            "not_scanned": len(self.coverage.not_scanned),
        }


def _line(one: Reported) -> str:
    f = one.finding
    return (
        f"{f.path}:{f.line}: {f.risk_level}: {f.secret_type} ({f.rule}) {f.redacted} {f.fingerprint}"
        + (f" in commit {f.commit[:12]}" if f.commit else "")
        + (f"; {one.note}" if one.note else "")
    )


def _reported(one: Reported) -> dict[str, object]:
    return one.finding.as_dict() | ({"note": one.note} if one.note else {})


def _suppressed(one: Suppressed) -> dict[str, object]:
    until = one.until.isoformat() if one.until else None
    return {**asdict(one.finding), "by": one.by, "reason": one.reason, "until": until}


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _reasons(counts: Counter[str]) -> str:
    return f" ({', '.join(f'{n} {reason}' for reason, n in sorted(counts.items()))})" if counts else ""


def _visible(line: str) -> str:
    """Control characters of a path as escapes: a file's name does not move the reader's cursor."""
    return "".join(_escaped(line)) if not line.isprintable() else line


def _escaped(line: str) -> Iterator[str]:
    for character in line:
        yield character if character.isprintable() else character.encode("unicode_escape").decode()


def write(text: str, path: Path) -> None:
    """Writes a document whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.partial")
    draft.write_text(text + "\n", encoding="utf-8")
    os.replace(draft, path)
