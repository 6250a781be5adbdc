"""`python -m analyzer.calibration.worker`: fits one calibrator in a process of its own, within fixed limits.

Reads `{"base": …, "examples": [[vector, engine_probability, is_secret], …]}` from standard input, writes
`{"model": …}` or `{"problem": …}` to standard output. It is given numbers only, no value and no credential.
"""

from __future__ import annotations

import json
import resource
import sys

from analyzer.calibration.fit import NotBetter, fit
from analyzer.calibration.rows import Example

CPU_SECONDS = 60
MEMORY = 1 << 30
"""Bytes of address space."""


def main() -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.load(sys.stdin)
    examples = [Example(tuple(vector), p, label) for vector, p, label in request["examples"]]
    try:
        answer: dict[str, object] = {"model": fit(examples, request["base"]).document()}
    except NotBetter as error:
        answer = {"problem": str(error)}
    json.dump(answer, sys.stdout, allow_nan=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
