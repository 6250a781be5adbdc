"""`python -m replay [--only PATTERN] [--write]`: replay, print the differences, write the page."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path

from .page import AFTER, DIFFERS, OUT, PAGE, SAME, Row, read, render
from .recordings import load
from .runner import Outcome
from .scope import KNOWN_DIFFERENCES, OUT_OF_SCOPE
from .scrubbing import NORMALISATIONS
from .session import replay_all


def row(outcome: Outcome, before: Row | None) -> Row:
    """The page's row of an outcome; normalisations that an earlier run needed stay."""
    if outcome.differences:
        first = re.sub(r"\s+", " ", outcome.differences[0]).replace("|", "/")
        why = KNOWN_DIFFERENCES.get(outcome.scenario, "not explained")
        return Row(DIFFERS, (), f"{why}: {first.partition(' ')[2][:200]}")
    needed = outcome.normalisations | set(before.normalisations if before else ())
    ordered = tuple(name for name in NORMALISATIONS if name in needed)
    return Row(AFTER if ordered else SAME, ordered)


def main() -> int:
    parser = argparse.ArgumentParser(prog="replay", description=__doc__)
    parser.add_argument("--only", default="", help="pattern of scenario names")
    parser.add_argument("--write", action="store_true", help="write docs/reference/cluster-double.md")
    parser.add_argument("--differences", type=Path, help="file for all differences")
    options = parser.parse_args()
    started = time.monotonic()
    if options.differences:
        options.differences.write_text("")

    def report(outcome: Outcome) -> None:
        state = f"{len(outcome.differences)} differences" if outcome.differences else "same"
        if options.differences:
            with options.differences.open("a") as file:
                file.writelines(f"{line}\n" for line in outcome.differences)
        print(f"{time.monotonic() - started:6.1f} s {outcome.scenario}: {state}", flush=True)

    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        outcomes = asyncio.run(replay_all(Path(folder) / "doubles", only=options.only, report=report))
    same = sum(not outcome.differences for outcome in outcomes.values())
    print(f"{same} of {len(outcomes)} scenarios without a difference, {time.monotonic() - started:.0f} s")
    if options.write:
        rows = read() if PAGE.exists() else {}
        for name, outcome in outcomes.items():
            rows[name] = row(outcome, rows.get(name))
        for name, reason in OUT_OF_SCOPE.items():
            rows[name] = Row(OUT, (), reason)
        PAGE.write_text(render({one.name: rows[one.name] for one in load()}))
    return 0 if same == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
