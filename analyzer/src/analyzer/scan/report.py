"""A scan's result as people and as machines read it."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from analyzer import __version__
from analyzer.engine.detect import Finding
from analyzer.engine.rules import RULES_VERSION
from analyzer.scan.coverage import Coverage

LISTED = 100
"""Findings and gaps that the JSON lists; the counts are whole, and the document stays small (an XCom)."""


@dataclass(frozen=True)
class Result:
    """What a scan found and saw."""

    target: str
    commit: str | None
    findings: tuple[Finding, ...]
    coverage: Coverage

    @property
    def outcome(self) -> str:
        """`findings`, `incomplete` (nothing found, but not everything seen) or `clean`."""
        if self.findings:
            return "findings"
        return "incomplete" if self.coverage.not_scanned else "clean"

    @property
    def exit_code(self) -> int:
        """2 whenever something was not scanned, else 1 for findings, else 0."""
        if self.coverage.not_scanned:
            return 2
        return 1 if self.findings else 0

    def as_dict(self) -> dict[str, object]:
        """The JSON document."""
        return {
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "target": self.target,
            "commit": self.commit,
            "analyzer": __version__,
            "model_version": RULES_VERSION,
            "counts": {
                "findings": len(self.findings),
                "by_risk": dict(sorted(Counter(f.risk_level for f in self.findings).items())),
                "by_rule": dict(sorted(Counter(f.rule for f in self.findings).items())),
                "files": self.coverage.files,
                "bytes": self.coverage.bytes,
                "commits": self.coverage.commits,
                "skipped": dict(sorted(self.coverage.skipped.items())),
                "not_scanned": len(self.coverage.not_scanned),
            },
            "findings": [finding.as_dict() for finding in self.findings[:LISTED]],
            "not_scanned": self.coverage.not_scanned[:LISTED],
        }

    def as_table(self) -> str:
        """Lines for a terminal or a task log; the last one sums up."""
        lines = [
            f"{f.path}:{f.line}: {f.risk_level}: {f.secret_type} ({f.rule}) {f.redacted} {f.fingerprint}"
            + (f" in commit {f.commit[:12]}" if f.commit else "")
            for f in self.findings
        ]
        lines += [f"not scanned: {gap}" for gap in self.coverage.not_scanned]
        seen = self.coverage
        history = f", {seen.commits} commits" if seen.commits else ""
        lines.append(
            f"{self.outcome}: {len(self.findings)} findings; {seen.files} files, "
            f"{seen.bytes} bytes{history}, "
            f"{sum(seen.skipped.values())} skipped, {len(seen.not_scanned)} not scanned"
        )
        return "\n".join(lines)


def write(result: Result, path: Path) -> None:
    """Writes the JSON document whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.partial")
    draft.write_text(json.dumps(result.as_dict(), indent=1) + "\n")
    os.replace(draft, path)
