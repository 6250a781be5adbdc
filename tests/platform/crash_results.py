"""What the crash matrix has seen: a line of JSON for each case, and a page with a row for each.

The lines stay in the checkout, so that a long run can be interrupted and gone on with: what passed with the
same source of the package is not repeated by `make test-long RESUME=1`.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from local_platform.layout import CHECKOUT

FOLDER = CHECKOUT / ".platform" / "crash-matrix"
LINES = FOLDER / "results.ndjson"
PAGE = FOLDER / "index.html"


@dataclass(frozen=True)
class Row:
    """How one case ended. `takeover` and `seconds` are seconds; `takeover` is None where nobody took over."""

    case: str
    release: str
    victim: str
    point: str
    source: str
    """Hash of the package that was tried."""
    passed: bool
    end: str
    holders: tuple[str, ...] = ()
    takeover: float | None = None
    failed_requests: int = 0
    requests: int = 0
    seconds: float = 0.0
    why: str = ""


def source_hash() -> str:
    """Of the package's and the local platform's source as it lies here."""
    digest = hashlib.sha256()
    for folder in ("include/platform_ops", "astro/local/local_platform", "tests/platform"):
        for path in sorted((CHECKOUT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(CHECKOUT)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def append(row: Row) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with LINES.open("a", encoding="utf-8") as out:
        out.write(json.dumps(asdict(row)) + "\n")


def read() -> dict[str, Row]:
    """The newest row of each case."""
    if not LINES.exists():
        return {}
    rows = (json.loads(line) for line in LINES.read_text(encoding="utf-8").splitlines())
    return {row["case"]: Row(**{**row, "holders": tuple(row["holders"])}) for row in rows}


def passed_with(source: str) -> set[str]:
    return {case for case, row in read().items() if row.passed and row.source == source}


def write_page(rows: Iterable[Row], cases: int) -> Path:
    """The matrix as a page: a sentence about all of it, then a row a case."""
    listed = sorted(rows, key=lambda row: (row.passed, row.release, row.victim, row.point))
    taken = [row.takeover for row in listed if row.takeover is not None]
    summary = (
        f"{sum(row.passed for row in listed)} of {len(listed)} tried cases passed; the matrix has {cases}. "
        + (f"Longest takeover: {max(taken):.1f} s." if taken else "Nobody took over.")
    )
    body = "\n".join(_row(row) for row in listed)
    PAGE.write_text(_PAGE.format(summary=html.escape(summary), body=body), encoding="utf-8")
    return PAGE


def _row(row: Row) -> str:
    words = (
        "passed" if row.passed else "FAILED",
        row.release,
        row.victim,
        row.point,
        row.end,
        " → ".join(row.holders),
        "" if row.takeover is None else f"{row.takeover:.1f}",
        f"{row.failed_requests} of {row.requests}",
        f"{row.seconds:.0f}",
        row.why,
    )
    cells = "".join(f"<td>{html.escape(word)}</td>" for word in words)
    return f'<tr class="{"passed" if row.passed else "failed"}">{cells}</tr>'


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Crash matrix</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; }}
td, th {{ padding: .2em .6em; border-bottom: 1px solid #ddd; text-align: left; }}
tr.failed {{ background: #fdd; }}
</style>
<h1>Crash matrix</h1><p>{summary}</p>
<table><tr><th>result<th>release<th>what is hit<th>where the holder stands<th>end<th>holders in order
<th>takeover, s<th>failed requests<th>took, s<th>why</tr>
{body}
</table></html>
"""
