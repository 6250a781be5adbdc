"""`python -m replay [--only PATTERN] [--write]`: replay, print the differences, write the page."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from .normalisations import NORMALISATIONS
from .page import AFTER, OUT, PAGE, SAME, Row, read, render
from .passing import timing
from .recordings import Scenario, load
from .runner import Outcome
from .scope import OUT_OF_SCOPE
from .session import replay_all


def row(scenario: Scenario, outcome: Outcome, before: Row | None) -> Row:
    """The page's row of an outcome; normalisations that an earlier run needed stay."""
    needed = outcome.normalisations | set(before.normalisations if before else ())
    if needed:
        needed |= timing(scenario)
    ordered = tuple(name for name in NORMALISATIONS if name in needed)
    return Row(AFTER if ordered else SAME, ordered)


def write(outcomes: Mapping[str, Outcome]) -> None:
    """The page, with the rows of these outcomes."""
    rows = read() if PAGE.exists() else {}
    for scenario in load():
        if scenario.name in OUT_OF_SCOPE:
            rows[scenario.name] = Row(OUT, (), OUT_OF_SCOPE[scenario.name])
        elif scenario.name in outcomes:
            rows[scenario.name] = row(scenario, outcomes[scenario.name], rows.get(scenario.name))
    PAGE.write_text(render({one.name: rows[one.name] for one in load()}))


def main() -> int:
    parser = argparse.ArgumentParser(prog="replay", description=__doc__)
    parser.add_argument("--only", default="", help="pattern of scenario names")
    parser.add_argument("--write", action="store_true", help="write the page when nothing differs")
    parser.add_argument("--differences", type=Path, help="file for all differences")
    parser.add_argument("--waits", action="store_true", help="say what was waited for in vain")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("replay").setLevel(logging.INFO if options.waits else logging.WARNING)
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
    if options.write and same == len(outcomes):
        write(outcomes)
    return 0 if same == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
