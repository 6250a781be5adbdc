"""A result as SARIF 2.1.0, for code hosts and for editors."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from analyzer import __version__
from analyzer.scan.engine import Finding
from analyzer.scan.report import Result
from analyzer.scan.triage import Suppressed

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
_SEVERITY = {"critical": "9.5", "high": "8.0", "medium": "5.0", "low": "2.0"}


def as_sarif(result: Result) -> str:
    """The whole result as one run: findings, suppressed ones, and what was not scanned as notifications."""
    findings = [*result.findings, *(one.finding for one in result.suppressed)]
    rules = {finding.rule: finding for finding in findings}
    index = {rule: number for number, rule in enumerate(sorted(rules))}
    run = {
        "tool": {"driver": _driver(result, [rules[rule] for rule in sorted(rules)])},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(result)],
        "results": [
            *(_finding(one.finding, index, one.note) for one in result.reported),
            *(
                _finding(one.finding, index) | {"suppressions": [_suppression(one)]}
                for one in result.suppressed
            ),
        ],
        "properties": {"target": result.target, "commit": result.commit, **_coverage(result)},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _driver(result: Result, examples: list[Finding]) -> dict[str, Any]:
    return {
        "name": "analyzer",
        "version": __version__,
        "properties": {"model_version": result.model_version},
        "rules": [
            {
                "id": one.rule,
                "shortDescription": {"text": one.secret_type},
                "defaultConfiguration": {"level": _LEVELS[one.risk_level]},
                "properties": {
                    "security-severity": _SEVERITY[one.risk_level],
                    "tags": ["security", "secret"],
                },
            }
            for one in examples
        ],
    }


def _finding(finding: Finding, index: dict[str, int], note: str = "") -> dict[str, Any]:
    where = f" in commit {finding.commit}" if finding.commit else ""
    text = f"{finding.secret_type} {finding.redacted}{where}" + (f"; {note}" if note else "")
    return {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": _LEVELS[finding.risk_level],
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(finding.path)},
                    "region": {"startLine": finding.line},
                }
            }
        ],
        "partialFingerprints": {"keyedValue/v1": finding.fingerprint},
        "properties": {"commit": finding.commit} if finding.commit else {},
    }


def _suppression(one: Suppressed) -> dict[str, Any]:
    until = f" (until {one.until})" if one.until else ""
    return {
        "kind": "inSource" if one.by == "inline" else "external",
        "status": "accepted",
        "justification": f"{one.reason}{until}",
    }


def _invocation(result: Result) -> dict[str, Any]:
    gaps = [{"level": "error", "message": {"text": gap}} for gap in result.coverage.not_scanned]
    return {
        "executionSuccessful": not gaps,
        "exitCode": result.exit_code,
        "toolExecutionNotifications": gaps,
    }


def _coverage(result: Result) -> dict[str, Any]:
    seen = result.coverage
    return {
        "files": seen.files,
        "bytes": seen.bytes,
        "commits": seen.commits,
        "skipped": dict(sorted(seen.skipped.items())),
        "unopened": dict(sorted(seen.unopened.items())),
        "unused_suppressions": list(result.unused),
    }
