"""`python -m gate_runner --bundle URL --commit ID --order JSON --output FILE`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from . import linting, suites
from .order import Order
from .result import Result
from .running import Runner, TimeIsUp
from .source import BadSource, unpack
from .tree import Tree


def main(argv: Sequence[str] | None = None) -> int:
    """0 whenever a result was written, whatever it is; 2 when the gate could not even begin."""
    parser = argparse.ArgumentParser(prog="gate_runner", description="Runs one gate on one commit.")
    parser.add_argument("--bundle", required=True, help="git bundle: a path or an address")
    parser.add_argument("--commit", required=True)
    parser.add_argument("--order", required=True, help="what to do, as JSON")
    parser.add_argument("--output", required=True, type=Path, help="the result, as JSON")
    options = parser.parse_args(argv)
    try:
        order = Order.parse(options.order)
        with tempfile.TemporaryDirectory(prefix="gate-") as folder:
            work, tree = Path(folder, "work"), Path(folder, "tree")
            work.mkdir()
            unpack(options.bundle, options.commit, tree, work)
            began = time.monotonic()
            result = run(order, Tree(tree), work)
            seconds = round(time.monotonic() - began, 1)
    except (BadSource, ValueError) as error:
        print(f"gate: {error}", file=sys.stderr)
        return 2
    document = {"gate": order.gate, "tool": order.tool, "commit": options.commit, "seconds": seconds}
    _write(options.output, json.dumps({**document, **result.to_json()}))
    print(f"{order.gate}: {result.outcome}: {result.reason}")
    for problem in result.to_json()["problems"]:
        print(f"  {problem}")
    return 0


def run(order: Order, tree: Tree, work: Path) -> Result:
    """The gate's outcome; a time limit that was reached is a failure."""
    runner = Runner(work, order.seconds)
    try:
        if order.tool == "pytest":
            return suites.run(order, tree, runner)
        return linting.look(order, tree, runner)
    except TimeIsUp as limit:
        return Result(
            "failed", f"{order.tool} was {limit}: make it faster, or raise the limit in the gate policy"
        )


def _write(path: Path, text: str) -> None:
    """A new file in one move: what the tree may have put there is not written into."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


if __name__ == "__main__":
    sys.exit(main())
