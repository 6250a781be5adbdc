"""Comments that allow a finding: `analyzer: allow REASON until=YYYY-MM-DD`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

_MARK = re.compile(rb"analyzer:\s*allow\b(?P<text>.{0,300})")
_UNTIL = re.compile(r"\buntil=(\d{4}-\d{2}-\d{2})\b")


@dataclass(frozen=True)
class Allowance:
    """What a comment says, also where it says too little to count."""

    reason: str
    until: date | None

    def refusal(self, today: date) -> str | None:
        """Why it does not count, in words; None while it does. The day it names is its last."""
        if self.until is None or not self.reason:
            missing = "an expiry" if self.reason else "a reason"
            return f"its inline suppression lacks {missing}: analyzer: allow REASON until=YYYY-MM-DD"
        if self.until < today:
            return f"its inline suppression ended on {self.until} ({self.reason})"
        return None


def allowance_at(content: bytes, line: int) -> Allowance | None:
    """The allowance on one line (counted from 1) of a content, or None."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = content.decode("utf-16", errors="replace").encode()
    start = 0
    for _ in range(line - 1):
        start = content.find(b"\n", start) + 1
    end = content.find(b"\n", start)
    mark = _MARK.search(content, start, end if end >= 0 else len(content))
    return _parsed(mark["text"].decode(errors="replace")) if mark else None


def _parsed(text: str) -> Allowance:
    stated = _UNTIL.search(text)
    try:
        until = date.fromisoformat(stated[1]) if stated else None
    except ValueError:
        until = None
    reason = text[: stated.start()] if stated else text
    return Allowance(reason.strip(" \t:-"), until)
