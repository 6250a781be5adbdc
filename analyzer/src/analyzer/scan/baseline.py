"""Findings that are known: a file of fingerprints, which say nothing of the values and nothing of lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.scan.engine import Finding

FORMAT = 1


class BaselineError(Exception):
    """The baseline cannot be used; the message says what to do instead."""


@dataclass(frozen=True)
class Baseline:
    """Fingerprints under one key. A value that is known is known wherever it stands: lines and files move."""

    key_id: str
    fingerprints: frozenset[str]

    def __contains__(self, finding: Finding) -> bool:
        return finding.fingerprint in self.fingerprints


def read(path: Path, key_id: str) -> Baseline:
    """Reads a baseline written with the key `key_id`. Raises `BaselineError`."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        version, written_with = document["analyzer_baseline"], document["key_id"]
        fingerprints = frozenset(entry["fingerprint"] for entry in document["findings"])
    except OSError as error:
        raise BaselineError(f"the baseline {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BaselineError(f"{path} is no baseline of `analyzer scan --write-baseline`") from None
    if version != FORMAT:
        raise BaselineError(f"the baseline {path} has format {version!r}; this analyzer reads {FORMAT}")
    if written_with != key_id:
        raise BaselineError(
            f"the baseline {path} was written with the fingerprint key {written_with}, and this scan has "
            f"{key_id}: set ANALYZER_FINGERPRINT_KEY to the key it was written with, or write it again"
        )
    return Baseline(key_id, fingerprints)


def write(path: Path, key_id: str, model_version: str, findings: Iterable[Finding]) -> int:
    """Writes a baseline whole or not at all; one entry a fingerprint. Returns how many there are."""
    first = {finding.fingerprint: finding for finding in reversed(tuple(findings))}
    entries = [
        {"fingerprint": print_, "rule": first[print_].rule, "path": first[print_].path}
        for print_ in sorted(first)
    ]
    document = {
        "analyzer_baseline": FORMAT, "key_id": key_id, "model_version": model_version, "findings": entries,
    }  # fmt: skip
    draft = path.with_name(f".{path.name}.partial")
    draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)
    return len(entries)
