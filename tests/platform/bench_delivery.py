"""`make bench-delivery`: the figures of delivery, measured on platforms that are gone afterwards.

    python tests/platform/bench_delivery.py [--only asked,parse] [--requests 300000]

Each row is printed as it was measured. What does not reach what it should says so in its row.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial

import delivery_airflow
import delivery_asked
import delivery_faults
import delivery_many
import delivery_parse
import delivery_traffic
from delivery_table import Options, Row, lines

Measure = Callable[[Options], list[Row]]

ROWS: dict[str, Measure] = {
    "asked": delivery_asked.measure,
    "parse": delivery_parse.measure,
    "many": delivery_many.measure,
    "requests": delivery_traffic.measure,
    "total": partial(delivery_faults.fault, 1.0),
    "partial": partial(delivery_faults.fault, 0.02),
    "podless": delivery_faults.without_pods,
    "airflow": delivery_airflow.measure,
}


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that platforms are stopped then, too
    names, options = _arguments()
    rows: list[Row] = []
    broken = 0
    for name in names:
        try:
            measured = ROWS[name](options)
        except Exception:
            # The other rows can be measured all the same; the exit code says that one is missing.
            traceback.print_exc()
            broken += 1
            continue
        print(*(" | ".join(row.cells()) for row in measured), sep="\n", flush=True)
        rows += measured
    print("", *lines(rows), sep="\n")
    return 1 if broken else 0


def _arguments() -> tuple[list[str], Options]:
    parser = argparse.ArgumentParser(prog="bench_delivery.py", description=__doc__)
    parser.add_argument("--only", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--requests", type=int, default=int(os.environ.get("REQUESTS") or 300_000))
    chosen = parser.parse_args()
    names = [name.strip() for name in chosen.only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"no row is called {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return names, Options(chosen.requests)


if __name__ == "__main__":
    sys.exit(main())
