"""What may be wrong with the second version: a defect that users meet and the checks of a preview do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from local_platform.sources import edit

LONG_CONTEXT = 200
"""Characters. The defects show on longer contexts only, which users send and the checks do not."""

SOURCE = Path("src", "analyzer", "service", "routes", "analysis.py")
"""The file of the analyzer's tree that gets the defect."""
_PLACE = "    [verdict] = await runtime.judging.judge([_question(body)])\n"


class Fault(StrEnum):
    """A defect of the second version."""

    ERRORS = "errors"
    LATENCY = "latency"
    CRASH = "crash"


_DEFECTS = {
    Fault.ERRORS: 'raise RuntimeError("the context window is too small")',
    Fault.LATENCY: 'await __import__("asyncio").sleep(2.0)',
    Fault.CRASH: '__import__("os")._exit(70)',
}


def defect(fault: Fault) -> Callable[[Path], None]:
    """A change of the analyzer's tree that puts the defect in."""
    lines = f"    if len(body.context) > {LONG_CONTEXT}:\n        {_DEFECTS[fault]}\n"

    def spoil(tree: Path) -> None:
        edit(tree / SOURCE, re.escape(_PLACE), lines + _PLACE)

    return spoil
