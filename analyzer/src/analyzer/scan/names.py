"""Paths that hold a secret themselves: they are findings, and reports show them without the value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analyzer.scan.engine import Engine, Finding, Fingerprinter
from analyzer.scan.source import Item


def without_secrets(
    items: Sequence[Item], engine: Engine, fingerprint: Fingerprinter
) -> tuple[list[Item], list[tuple[Finding, Item]]]:
    """The items as they may be shown, and what their paths gave away. One search for a whole chunk."""
    lines = [item.path.replace("\n", " ") for item in items]
    suspects = {f.line - 1 for f in engine.search("\n".join(lines).encode(), "paths", fingerprint).findings}
    shown, found = list(items), list[tuple[Finding, Item]]()
    for number in sorted(suspects):
        item = items[number]
        findings = engine.search(lines[number].encode(), "path", fingerprint).findings
        if findings:
            shown[number] = replace(item, path=_redacted(item.path, engine, fingerprint))
            found += [(replace(f, path=shown[number].path, line=1), shown[number]) for f in findings]
    return shown, found


def _redacted(path: str, engine: Engine, fingerprint: Fingerprinter) -> str:
    """The path with a preview in place of each part that holds a value, or a preview alone."""
    parts = [_part(part, engine, fingerprint) for part in path.split("/")]
    shown = "/".join(parts)
    return shown if shown != path else "(a path that holds a secret)"


def _part(part: str, engine: Engine, fingerprint: Fingerprinter) -> str:
    findings = engine.search(part.encode(), "path", fingerprint).findings
    return f"({findings[0].redacted})" if findings else part
