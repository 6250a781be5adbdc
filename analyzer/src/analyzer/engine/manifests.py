"""Secret objects of Kubernetes: their data is base 64, so that names stand there, and no value."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from analyzer.engine.assignments import MIN_VALUE, Candidate
from analyzer.engine.names import read_name

EXPRESSION = (rb"kind:[ \t]{0,4}[\"']?Secret[\"']?[ \t]{0,4}\r?\n", 0)
WINDOW = 65_536
"""Bytes before and behind `kind: Secret` that are read, if no document ends sooner."""
_DATA = re.compile(rb"(?m)^([ \t]{0,40}+)data:[ \t]*+\r?\n((?:\1[ \t]++[^\n]*+\n?+|[ \t]*+\r?+\n){1,200}+)")
_ENTRY = re.compile(
    rb"(?m)^[ \t]++[\"']?([\w.-]{1,80}+)[\"']?:[ \t]*+[\"']?([A-Za-z0-9+/]{4,16000}+={0,2})[\"']?[ \t]*+\r?$"
)


def secret_data(content: bytes, ends: Iterable[int]) -> Iterator[Candidate]:
    """The decoded entries of the Secret objects around hits of `EXPRESSION`; each part is read once."""
    covered = 0
    for end in ends:
        if end <= covered:
            continue
        begin = max(covered, end - WINDOW, content.rfind(b"\n---", max(0, end - WINDOW), end) + 1)
        stop = content.find(b"\n---", end, end + WINDOW)
        covered = stop if stop >= 0 else min(len(content), end + WINDOW)
        for data in _DATA.finditer(content, begin, covered):
            for entry in _ENTRY.finditer(content, data.start(2), data.end(2)):
                yield from _candidate(entry)


def _candidate(entry: re.Match[bytes]) -> Iterator[Candidate]:
    name, encoded = entry.groups()
    try:
        value = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return
    if len(value) >= MIN_VALUE:
        before = name + b": "
        yield Candidate(
            value, entry.start(2), entry.end(2), read_name(name.decode("ascii", "replace")), ":", False,
            before + encoded, before, b"",
        )  # fmt: skip
